//! What the app did, for tests to read.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fake::FakeSlack;
use super::message::Message;
use super::view::{Home, Modal};
use super::world::{Call, Channel, Installation};

impl FakeSlack {
    /// Every call, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.world().calls.clone()
    }

    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.method == method);
        calls
    }

    /// Clears the record, for long-running programs.
    pub fn forget_calls(&self) {
        let mut world = self.shared.world();
        world.calls.clear();
        world.counts.clear();
    }

    /// From now on calls are only counted, and messages stored without everything that was sent; for benches.
    pub fn only_count(&self) {
        self.shared.world().only_counts = true;
    }

    /// How often methods were called, including failed calls.
    pub fn call_counts(&self) -> BTreeMap<String, usize> {
        let world = self.shared.world();
        let counts = world.counts.iter();
        counts
            .map(|(method, count)| (method.clone(), count.done))
            .collect()
    }

    /// Waits until a method was called this often, including failed calls; false after `patience`.
    pub fn wait_for_calls(&self, method: &str, calls: usize, patience: Duration) -> bool {
        self.shared.wait(patience, |world| {
            let count = world.counts.get(method);
            count.is_some_and(|count| count.done >= calls)
        })
    }

    /// The same, counting calls that have started: a call with `Fault::Slow` is only recorded when it is finished.
    pub fn wait_for_arrivals(&self, method: &str, calls: usize, patience: Duration) -> bool {
        self.shared.wait(patience, |world| {
            let count = world.counts.get(method);
            count.is_some_and(|count| count.arrived >= calls)
        })
    }

    pub fn installations(&self) -> Vec<Installation> {
        self.shared
            .world()
            .installations
            .values()
            .cloned()
            .collect()
    }

    pub fn installation(&self, tenant: &str) -> Option<Installation> {
        self.shared.world().installations.get(tenant).cloned()
    }

    /// The Home tab of a user.
    pub fn home(&self, user: &str) -> Option<Home> {
        self.shared.world().homes.get(user).cloned()
    }

    /// Every opened modal in its current state.
    pub fn modals(&self) -> Vec<Modal> {
        self.shared.world().modals.values().cloned().collect()
    }

    /// A channel's messages, including ephemeral ones and those to response URLs, oldest first.
    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.shared.world().messages.of(channel).to_vec()
    }

    /// Waits until the app has posted this many messages anywhere; false after `patience`.
    pub fn wait_for_messages(&self, messages: usize, patience: Duration) -> bool {
        self.shared
            .wait(patience, |world| world.messages.posted >= messages)
    }

    /// The same for one channel, counting everything in it.
    pub fn wait_for_messages_in(&self, channel: &str, messages: usize, patience: Duration) -> bool {
        self.shared.wait(patience, |world| {
            world.messages.of(channel).len() >= messages
        })
    }

    /// Every channel, including conversations with users.
    pub fn channels(&self) -> Vec<Channel> {
        self.shared.world().channels.values().cloned().collect()
    }

    /// The conversation of the app with a user, if there was any.
    pub fn direct(&self, user: &str) -> Option<Channel> {
        let world = self.shared.world();
        let mut of_user = world.directs.iter().filter(|((_, with), _)| with == user);
        world.channels.get(of_user.next()?.1).cloned()
    }
}
