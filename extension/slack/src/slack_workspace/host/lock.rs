//! Who writes a team's rows takes the team's lock first, so that two who do so take turns and never wait for each other's rows.
//!
//! Who does not know beforehand which teams he writes (a plain UPDATE has locked its first row before any trigger sees it)
//! takes the table's lock instead, which all others share: he waits for them, they wait for him, and nobody holds a row then.

use lockstep_server::lock::{self, Kind};
use pgrx::pg_sys::{ExclusiveLock, ShareLock};

/// All teams of a table of Slack integrations, one of them by a hash of its id, and an owner of integrations by a hash.
const TABLE: Kind = Kind(0x4c54);
const TEAM: Kind = Kind(0x4c55);
const OWNER: Kind = Kind(0x4c56);

/// For whoever writes rows of any team. A transaction that has written a team already shares the lock, and others that share it may wait
/// for this as well: two that did so would wait for each other. It goes on with its share, and locks the teams when it knows them.
pub(crate) fn all_teams(table: u32) {
    if !lock::is_held(TABLE, table, 0, ShareLock) {
        lock::take(TABLE, table, 0, ExclusiveLock);
    }
}

/// For whoever writes the rows of some teams, in one order for all.
pub(crate) fn teams<'a>(table: u32, teams: impl IntoIterator<Item = &'a str>) {
    let mut hashes: Vec<u32> = teams
        .into_iter()
        .map(|team| crc32fast::hash(team.as_bytes()))
        .collect();
    // A cascade has rows locked, and nothing to write: it must not wait for anybody.
    if hashes.is_empty() {
        return;
    }
    lock::take(TABLE, table, 0, ShareLock);
    hashes.sort_unstable();
    hashes.dedup();
    for hash in hashes {
        lock::take(TEAM, table, hash, ExclusiveLock);
    }
}

/// Whether the transaction writes that team already.
pub(crate) fn has_team(table: u32, team: &str) -> bool {
    let hash = crc32fast::hash(team.as_bytes());
    lock::is_held(TEAM, table, hash, ExclusiveLock)
}

/// For whoever finds or creates the integration of an owner, before any of the others.
pub(super) fn owner(integrations: u32, owner: &str) {
    let hash = crc32fast::hash(owner.as_bytes());
    lock::take(OWNER, integrations, hash, ExclusiveLock);
}
