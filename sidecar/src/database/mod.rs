//! lockstep's functions and views, as this program calls them. No file outside this folder names one.

mod argument;
mod backfill;
mod batch;
mod chatops;
mod job;
mod pool;
mod session;
mod slack;
mod transaction;

pub(crate) use backfill::{Database, LostBackfills, PreviewOutcome, Progress, SetAside, Status};
pub(crate) use chatops::{ChatopsDatabase, OfHost};
pub(crate) use job::{Effects, Job, Queue};
pub(crate) use slack::{
    Choice, Delivery, Drift, EVENTS, FUNCTIONS, Finished, Follower, HostProperties, Install,
    Integration, Mention, MetricsReport, NewEvent, Outcome, Published, Received, Refresh, Sent,
    SlackDatabase, Standing, StoredTokens, Subscription, TakenState, TicketOwner, Trouble, Updates,
    Which, Workspace, Writes,
};
pub(crate) use transaction::Transaction;
