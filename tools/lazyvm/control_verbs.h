/* SPDX-License-Identifier: MIT */
#ifndef LAZYVM_CONTROL_VERBS_H
#define LAZYVM_CONTROL_VERBS_H

#include "control.h"

extern const struct control_verb verb_cancel;
extern const struct control_verb verb_discard;
extern const struct control_verb verb_migrate;
extern const struct control_verb verb_pause;
extern const struct control_verb verb_quit;
extern const struct control_verb verb_resume;
extern const struct control_verb verb_snapshot;
extern const struct control_verb verb_status;

#endif
