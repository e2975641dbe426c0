//! Channels that follow a project beside its integration: which of them an event is for ([`follower`]), which events they get
//! ([`kind`]), how they are subscribed by administrators ([`administer`]) and by Slack users ([`workspace`]), as they are listed
//! ([`listed`]), also for those who manage the project ([`followers`]), and removed with the project ([`gone`]).

pub(crate) mod administer;
mod follower;
pub(crate) mod followers;
mod gone;
mod kind;
mod listed;
pub(crate) mod workspace;

pub(super) use follower::subscribe;
pub(crate) use gone::sweep_subscriptions;
