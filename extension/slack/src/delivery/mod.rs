//! Deliveries of events to Slack channels. A sender claims the first waiting delivery of due channels ([`mod@claimed`]) and
//! reports the outcome of each ([`mod@finished`]).
//!
//! A channel has one sender at a time, by a lease stored in its row, or in one row for all of its names. Two claims lock
//! different channels ([`channel`]). All changes to a channel's deliveries happen under its row lock, in statements that begin
//! after the lock was taken and so see what others have done. The pace of the workspace then admits some of them, under a
//! separate lock. Publishing takes no lock: it adds deliveries, which the next claim sees.

mod channel;
mod claimed;
mod finished;
