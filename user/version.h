/* The version of outspan, as sessions, exports and --version tell it. */
#pragma once

#define OSP_VERSION "0.1.0"
