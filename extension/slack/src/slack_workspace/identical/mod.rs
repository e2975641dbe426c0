//! Keeps all rows of a team identical. When anyone writes a row or a link, the team is locked first and the row noted
//! ([`trigger`], [`noted`]). At the end of the statement the flush decides what the notes mean ([`flush`](mod@flush)), compared with
//! the team's values ([`kept`]), and copies the result to the other rows ([`spread`](mod@spread), [`compare`](mod@compare),
//! [`scopes`]) and to the installation, which has its own table ([`installation`]). Rows that are still open are settled at the end
//! of the transaction ([`open`](mod@open), [`settle`](mod@settle)). Remaining differences are found and repaired
//! ([`drift`](mod@drift)).
//!
//! The team's values are those of any row that the statement did not write ([`kept`]): these are identical. The rules:
//!
//! - a row that was inserted, or whose token changed, is a *newer installation* if its token is not null and differs from the
//!   team's: the team follows it. Otherwise it takes over the team's values, and no other row is read or written, so that the
//!   application's propagation costs the same in a team of any size;
//! - a changed user, bot user or IV is carried to the team; a row that moved to another team takes over that team's values;
//! - if only timestamps changed, the newest row of the team wins;
//! - a row that was linked or unlinked carries its scopes to the team if their names differ from the team's. If the scope itself
//!   was deleted, the row follows the team;
//! - a newer installation without a scope, and a row that lost all its scopes while others of its team have theirs, do not say yet
//!   which scopes they will have: they are *open* ([`open`](mod@open)). The application inserts links after rows, and replaces them
//!   by deleting all first. With its first link a row is no longer open; a row that is open at the end of the transaction carries
//!   that it has none ([`settle`](mod@settle)).
//!
//! If several rows carry a value, the last one wins. If the team's values are unknown, because the statement wrote all of its rows,
//! and none carries a value, the best row wins: the newest one with a token.

mod compare;
pub(crate) mod drift;
mod flush;
pub(crate) mod installation;
mod kept;
mod noted;
mod noted_rows;
mod open;
mod scopes;
mod settle;
mod spread;
mod trigger;
mod writing;

pub(crate) use drift::{differing_today, rows_adrift};
pub(crate) use installation::{Installation, check_refresh_token, check_token};
pub(crate) use kept::{best, scopes_described};
pub(crate) use noted::{notes_left, release_notes, roll_back_notes};
pub(crate) use scopes::{ScopesOfRow, write_scopes};
pub(crate) use settle::settle;
pub(crate) use spread::spread;
pub(crate) use trigger::{TRIGGERS_OF_LINKS, TRIGGERS_OF_ROWS};
pub(crate) use writing::Writing;
