//! How GitLab knows projects, cached briefly: people give several commands in a row, and the database need not be queried for
//! each.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::slack::Owner;

/// A changed alias takes effect after at most this long.
const FRESH: Duration = Duration::from_secs(10);

const MOST: usize = 1_000;

#[derive(Default)]
pub(crate) struct Aliases(Mutex<HashMap<Key, Kept>>);

/// Workspace, organization, and the given name.
type Key = (String, Option<String>, String);

struct Kept {
    alias: String,
    at: Instant,
}

impl Aliases {
    pub(super) fn get(&self, owner: &Owner, given: &str) -> Option<String> {
        let all = self.all();
        let kept = all.get(&key(owner, given))?;
        (kept.at.elapsed() < FRESH).then(|| kept.alias.clone())
    }

    pub(super) fn keep(&self, owner: &Owner, given: &str, alias: &str) {
        let mut all = self.all();
        if all.len() >= MOST {
            all.retain(|_, kept| kept.at.elapsed() < FRESH);
        }
        if all.len() >= MOST {
            all.clear();
        }
        let kept = Kept {
            alias: alias.to_owned(),
            at: Instant::now(),
        };
        all.insert(key(owner, given), kept);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(owner: &Owner, given: &str) -> Key {
    (
        owner.team.clone(),
        owner.enterprise.clone(),
        given.to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::{advance, pause};

    use super::{Aliases, FRESH, MOST};
    use crate::slack::Owner;

    fn owner(team: &str) -> Owner {
        Owner {
            team: team.to_owned(),
            enterprise: None,
        }
    }

    #[tokio::test]
    async fn aliases_are_of_a_workspace_and_a_moment() {
        pause();
        let aliases = Aliases::default();
        aliases.keep(&owner("T1"), "group/one", "tea");
        let get = |team: &str| aliases.get(&owner(team), "group/one");
        assert_eq!(get("T1").as_deref(), Some("tea"));
        assert_eq!(get("T2"), None);
        advance(FRESH - Duration::from_millis(1)).await;
        assert!(get("T1").is_some());
        advance(Duration::from_millis(1)).await;
        assert_eq!(get("T1"), None);
    }

    #[tokio::test]
    async fn no_more_are_kept_than_there_is_room_for() {
        pause();
        let aliases = Aliases::default();
        for number in 0..3 * MOST {
            aliases.keep(&owner("T1"), &number.to_string(), "tea");
            assert!(aliases.all().len() <= MOST);
        }
    }
}
