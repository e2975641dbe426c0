//! All rows of a team are kept identical. A row or a link is written, by whom ever; the team is locked before it and the row noted ([`trigger`],
//! [`noted`]); at the end of the statement what it means is found ([`flush`](mod@flush)), beside what the team has ([`kept`]), and spread
//! ([`spread`](mod@spread), [`compare`](mod@compare), [`scopes`]), also to the installation, which has a table of its own ([`installation`]). What is still open is
//! settled at the end of the transaction ([`open`](mod@open), [`settle`](mod@settle)). What differs all the same is found and repaired ([`drift`](mod@drift)).
//!
//! What a team *has* is what any row of it has that the statement did not write ([`kept`]): they are identical. Beside that,
//!
//! - a row that was inserted, or given another token, is a *newer installation* if its token is not null and not the team's: the team
//!   follows it. Else it says nothing and takes over what the team has, and no other row is read or written: so the host's
//!   propagation costs the same in a team of any size;
//! - a row that was given another user, bot user or IV only carries it to the team, and one that was given another team only takes over;
//! - of a row that was given another time only, the newest in the team wins;
//! - a row that was linked or unlinked carries its scopes to the team if they are others than the team's, by their names. Where the
//!   scope itself is gone, it follows;
//! - a newer installation without a scope, and a row that has lost all while others of its team have theirs, say nothing of scopes yet:
//!   they are *open* ([`open`](mod@open)). The host inserts links after rows, and replaces them by deleting all first. With its first
//!   link a row is as any other; what is open at the end of the transaction carries that it has none ([`settle`](mod@settle)).
//!
//! If several carry, the last one wins. If nobody can say what the team has, as the statement wrote all of its rows, and none carries,
//! the best row wins: one with a token, the newest.

mod compare;
pub(crate) mod drift;
mod flush;
pub(crate) mod installation;
mod kept;
mod noted;
mod open;
mod scopes;
mod settle;
mod spread;
mod trigger;
mod writing;

pub(crate) use drift::rows_adrift;
pub(crate) use installation::{Installation, check_refresh_token, check_token};
pub(crate) use kept::best;
pub(crate) use noted::{notes_left, release_notes, roll_back_notes};
pub(crate) use scopes::{ScopesOfRow, write_scopes};
pub(crate) use settle::settle;
pub(crate) use spread::spread;
pub(crate) use trigger::{TRIGGERS_OF_LINKS, TRIGGERS_OF_ROWS};
pub(crate) use writing::Writing;
