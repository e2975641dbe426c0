//! Deliveries of events to channels of Slack. Whoever sends claims the first waiting delivery of channels that are due
//! ([`mod@claimed`]) and says what became of each ([`mod@finished`]).
//!
//! A channel has one sender at a time, by a lease that is a column of its row, or of one row of all of its names: two claims lock different channels ([`channel`]),
//! and what is done to deliveries of a channel is done under the lock of its row, in statements that begin after it was
//! taken and so see what others have done. Then the pace of the workspace admits some of them, under a lock of its own.
//! A publication takes no lock: it adds deliveries, which the next claim sees.

mod channel;
mod claimed;
mod finished;
