// SPDX-License-Identifier: Apache-2.0
//
// What of the process a plugin must leave as it is, for `trivet plugin check`: it is the caller's.
// Signal handlers, rounding, folder, mask of modes, locale, environment, open files.
#include <dirent.h>
#include <fenv.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/string_view.h"
#include "tools/trivet/check.h"

extern char** environ;

static uint32_t open_files(void) {
  uint32_t count = 0;
  DIR* folder = opendir("/proc/self/fd");
  if (!folder) return 0;
  while (readdir(folder)) ++count;
  closedir(folder);
  return count;
}

static uint64_t environment_hash(void) {
  uint64_t hash = 0;
  for (char** entry = environ; entry && *entry; ++entry)
    hash = tvi_hash_combine(hash, tvi_hash_string(tvi_sv(*entry)));
  return hash;
}

// Bits of the x86 control word for denormal numbers, which fegetround does not tell.
static uint32_t float_mode(void) {
  uint32_t mode = (uint32_t)fegetround() << 16;
#if defined(__x86_64__)
  mode |= __builtin_ia32_stmxcsr() & 0xffc0u;
#endif
  return mode;
}

void check_process_note(check_process_t* out) {
  memset(out, 0, sizeof(*out));
  for (int s = 1; s < CHECK_SIGNALS; ++s) sigaction(s, NULL, &out->signals[s]);
  if (!getcwd(out->folder, sizeof(out->folder))) out->folder[0] = 0;
  snprintf(out->locale, sizeof(out->locale), "%s", setlocale(LC_ALL, NULL));
  out->mode_mask = umask(0);
  umask((mode_t)out->mode_mask);
  out->float_mode = float_mode();
  out->environment = environment_hash();
  out->open_files = open_files();
}

void check_process_judge(check_t* check, const check_process_t* before) {
  check_process_t now;
  check_process_note(&now);
  snprintf(check->tally->doing, sizeof(check->tally->doing), "after all cases");
  for (int s = 1; s < CHECK_SIGNALS; ++s) {
    if (now.signals[s].sa_handler != before->signals[s].sa_handler)
      check_fault(check, "leaves a handler of signal %d, %s, behind: it is the caller's", s,
                  strsignal(s));
  }
  if (now.float_mode != before->float_mode)
    check_fault(check, "leaves another rounding or treatment of denormal numbers behind");
  if (strcmp(now.folder, before->folder) != 0)
    check_fault(check, "leaves another working folder behind, %s", now.folder);
  if (strcmp(now.locale, before->locale) != 0)
    check_fault(check, "leaves another locale behind, %s", now.locale);
  if (now.mode_mask != before->mode_mask)
    check_fault(check, "leaves another mask of file modes behind");
  if (now.environment != before->environment)
    check_fault(check, "changes the environment of the process");
  // Drivers of devices keep files open.
  for (uint32_t i = 0; i < check->tally->target_count; ++i) {
    if (check->tally->targets[i].runs) return;
  }
  if (now.open_files > before->open_files)
    check_fault(check, "leaves %u files open", now.open_files - before->open_files);
}
