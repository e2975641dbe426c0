//! The commands of lockstep that run outside the database.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// With glibc's a slash command that asks the database takes 1.4 times the CPU time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    lockstep_sidecar::main()
}
