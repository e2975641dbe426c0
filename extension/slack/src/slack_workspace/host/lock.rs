//! A session that writes a team's rows takes the team's lock first, so that two such sessions take turns and never wait for each
//! other's rows.
//!
//! A statement that does not know its teams beforehand (a plain UPDATE has locked its first row before any trigger sees it) takes
//! the table's lock instead, which the others share: it waits for them and they for it, while nobody holds a row.

use super::known::Tables;
use lockstep_server::lock::{self, Kind};
use pgrx::pg_sys::{ExclusiveLock, ShareLock};

/// Locks: all teams of a table of Slack integrations; one team by a hash of its id; an owner of integrations by a hash.
const TABLE: Kind = Kind(0x4c54);
const TEAM: Kind = Kind(0x4c55);
const OWNER: Kind = Kind(0x4c56);

/// Taken to write rows of any team. A transaction that has already written a team holds a share of the lock. Others that hold a
/// share may be waiting for the same upgrade, which would deadlock, so it keeps its share and locks the teams once they are
/// known.
pub(crate) fn all_teams(table: u32) {
    if !lock::is_held(TABLE, table, 0, ShareLock) {
        lock::take(TABLE, table, 0, ExclusiveLock);
    }
}

/// Taken to write the rows of some teams, in a fixed order. Returns whether the transaction already was the only one that could.
pub(crate) fn teams<'a>(table: u32, teams: impl IntoIterator<Item = &'a str>) -> bool {
    let mut hashes: Vec<u32> = teams
        .into_iter()
        .map(|team| crc32fast::hash(team.as_bytes()))
        .collect();
    // A cascade has rows locked and nothing to write: it must not wait.
    if hashes.is_empty() {
        return true;
    }
    let has_all = lock::is_held(TABLE, table, 0, ExclusiveLock)
        || hashes
            .iter()
            .all(|hash| lock::is_held(TEAM, table, *hash, ExclusiveLock));
    lock::take(TABLE, table, 0, ShareLock);
    hashes.sort_unstable();
    hashes.dedup();
    for hash in hashes {
        lock::take(TEAM, table, hash, ExclusiveLock);
    }
    has_all
}

/// Taken to write what belongs to a team besides its rows.
pub(crate) fn team(tables: &Tables, team: &str) {
    teams(tables.slack.oid, [team]);
}

/// Whether the transaction already writes that team.
pub(crate) fn has_team(table: u32, team: &str) -> bool {
    let hash = crc32fast::hash(team.as_bytes());
    lock::is_held(TEAM, table, hash, ExclusiveLock)
}

/// Taken to find or create the integration of an owner, before any other lock.
pub(super) fn owner(integrations: u32, owner: &str) {
    let hash = crc32fast::hash(owner.as_bytes());
    lock::take(OWNER, integrations, hash, ExclusiveLock);
}
