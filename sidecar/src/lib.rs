//! The commands of lockstep that run outside the database. Rooms from top to bottom; each only imports those below it:
//!
//! - `cli`: selects the command, and has those that run once: among them `check`, which checks what `serve` would do
//! - `serve`: composes the server, and is the only one that knows all of it
//! - features, none of which knows another: `command`, `home`, `install`, `event`, `notification`, `chatops` and `page` of
//!   the server; `backfill` and `work` are commands of their own
//! - `pass_through`: passes everything that is not ours on to GitLab
//! - `late`: answers after the request has ended
//! - `job`: runs jobs from the queue; `resume`: resumes backfills that have lost their workers; `trouble`: what keeps messages from channels, `followed`: what channels follow, in words
//! - `database`: the only one that names database functions; `spool`: keeps webhooks on disk until the database accepts them
//! - `slack`: the platform, which knows nothing of lockstep
//! - `http`: shared by all requests
//! - the ground: `connection`, `token`, `tls`, `error`, `outage`, `retry`, `settings`, `interrupt` and `text`

// An answer awaits GitLab, which awaits the database, which awaits a session: deeply nested futures.
#![recursion_limit = "256"]

mod alarm;
mod backfill;
mod chatops;
mod cli;
mod command;
mod connection;
mod database;
mod error;
mod event;
mod followed;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod home;
mod http;
mod install;
mod interrupt;
mod job;
mod late;
mod notification;
mod outage;
mod page;
mod pass_through;
mod resume;
mod retry;
mod route;
mod serve;
mod settings;
mod slack;
mod spool;
mod text;
mod tls;
mod token;
mod trouble;
mod work;

pub use cli::main;
