// Precompiled for the tests: besides the library's headers those that nearly every test begins
// with. Not for the core, where a change of one header would cost all files.
#include "check.h"
#include "prelude.h"
#include "rig.h"
