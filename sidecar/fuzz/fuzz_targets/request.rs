//! Any request, signed or not, gets a proper response.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(lockstep_sidecar::fuzzing::is_answered(data));
});
