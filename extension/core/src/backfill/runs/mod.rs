//! A run of a job ([`run`]), as its settings say ([`settings`]), hands out ranges ([`range`]), each to one worker ([`worker`], [`presence`]), who
//! does it in sub-batches ([`mod@step`]) at the pace that others leave ([`pace`], [`hold`]), each within its time ([`lockstep_server::within`]). The server's log is
//! told of it ([`told`]).

mod hold;
mod pace;
pub(crate) mod presence;
mod range;
mod run;
mod settings;
mod step;
pub(crate) mod told;
pub(crate) mod worker;

pub(crate) use range::Range;
pub(crate) use run::{NewRun, Run, Status};
pub(crate) use settings::Settings;
pub(crate) use step::{LOOK_EVERY_MS, Next, Worker, is_changed, step};
