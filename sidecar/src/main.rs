//! The commands of lockstep that run outside the database.

use std::process::ExitCode;

fn main() -> ExitCode {
    lockstep_sidecar::main()
}
