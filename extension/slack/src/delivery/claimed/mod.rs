//! Claims deliveries ([`claim`]): the first ones of due channels ([`head`]), as fast as the workspace allows
//! ([`pace`](mod@pace)), each with the message about the same subject ([`subject`]). Channels that wait long are kept out of the
//! way ([`parked`]). [`wait`] says when there is something to claim again.

pub(crate) mod claim;
mod head;
mod pace;
mod parked;
mod subject;
pub(crate) mod wait;
