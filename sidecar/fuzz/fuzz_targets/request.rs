//! Whatever arrives, signed or not, is answered, and as it should be.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    assert!(lockstep_sidecar::fuzzing::is_answered(data));
});
