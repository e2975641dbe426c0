//! A run ([`run`]) with its settings ([`settings`]) hands out ranges ([`range`]), each to one worker ([`worker`], [`presence`]),
//! which processes it in sub-batches ([`mod@step`]) at the pace that other users allow ([`pace`], [`hold`]), each within its time
//! limit ([`lockstep_server::within`]). The server's log tells about it ([`server_log`]).

mod hold;
mod pace;
pub(crate) mod presence;
mod range;
mod run;
pub(crate) mod server_log;
mod settings;
mod step;
pub(crate) mod worker;

pub(crate) use range::Range;
pub(crate) use run::{NewRun, Run, Status};
pub(crate) use settings::Settings;
pub(crate) use step::{LOOK_EVERY_MS, Next, Worker, is_changed, step};
