// SPDX-License-Identifier: Apache-2.0
//
// A plan as an object file: `cc -DPLAN='"cpu.plan"' -c plan_object.S`. Aligned to a page, so that the runtime
// reads the weights where they are.
  .section .rodata
  .balign 4096
  .globl embedded_plan
  .globl embedded_plan_end
embedded_plan:
  .incbin PLAN
embedded_plan_end:
  .byte 0
  .section .note.GNU-stack, "", %progbits
