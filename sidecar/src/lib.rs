//! The commands of lockstep that run outside the database. Rooms from top to bottom, each of which imports only those below it:
//!
//! - `cli`: which command is meant; `check` looks at what `serve` would do
//! - `serve`: composes the server, and is the only one that knows all of it
//! - features, none of which knows another: `command`, `home`, `install`, `event`, `notification`, `chatops` and `page` of
//!   the server; `backfill`, `work`, `rekey`, `import_settings`, `manifest`, `drift`, `ticket` and `doctor` are commands of their own
//! - `pass_through`: what is none of ours goes to GitLab
//! - `late`: answers that come after their request is over
//! - `job`: runs jobs of the queue
//! - `database`: the only one that names functions of the database
//! - `slack`: the platform, which knows nothing of lockstep
//! - `http`: what all requests have in common
//! - the ground: `connection`, `token`, `tls`, `error`, `outage`, `settings`, `interrupt` and `text`

// Answers wait for GitLab, which waits for the database, which waits for a session: futures in futures.
#![recursion_limit = "256"]

mod backfill;
mod chatops;
mod check;
mod cli;
mod command;
mod connection;
mod database;
mod doctor;
mod drift;
mod error;
mod event;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod home;
mod http;
mod import_settings;
mod install;
mod interrupt;
mod job;
mod late;
mod manifest;
mod notification;
mod outage;
mod page;
mod pass_through;
mod rekey;
mod serve;
mod settings;
mod slack;
mod text;
mod ticket;
mod tls;
mod token;
mod work;

pub use cli::main;
