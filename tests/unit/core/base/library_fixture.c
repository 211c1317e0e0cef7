// SPDX-License-Identifier: Apache-2.0
//
// A shared object for library_test to open.
// It exports one function and must not need anything of ours.

int trivet_fixture_answer(void);
int trivet_fixture_answer(void) { return 42; }
