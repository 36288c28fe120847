/* Completion of commands, their options, words and files on a shell's line. */
#pragma once

#include <stdio.h>

/* For bash; zsh reads it by bashcompinit. */
void osp_completion_print(FILE *f);
