//! Deliveries are claimed ([`claim`]): the first ones of channels that are due ([`head`]), as fast as the workspace allows ([`pace`](mod@pace)), with the
//! message that each is about ([`subject`]). When there is something to claim again, [`wait`] says.

pub(crate) mod claim;
mod head;
mod pace;
mod subject;
pub(crate) mod wait;
