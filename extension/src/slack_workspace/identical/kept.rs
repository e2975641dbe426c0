//! What a team has, as any of its rows shows that the statement did not write: they are identical.

use super::open::is_open;
use crate::slack_workspace::host::Tables;
use lockstep_server::{Answer, View, datum, keys_argument};
use pgrx::datum::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// A row, as far as it belongs to its team.
pub(super) struct Described {
    pub(super) row: i64,
    pub(super) team: String,
    pub(super) token: Option<Vec<u8>>,
    pub(super) iv: Option<Vec<u8>>,
    pub(super) user: Option<String>,
    pub(super) bot: Option<String>,
    pub(super) updated_at: Option<Timestamp>,
    /// The names of its scopes, in alphabetical order.
    pub(super) scopes: Vec<String>,
    pub(super) organization: Option<i64>,
}

impl Described {
    fn read(row: &Answer) -> Self {
        Self {
            row: row.get(8).unwrap_or_default(),
            team: row.get(1).unwrap_or_default(),
            token: row.get(2),
            iv: row.get(3),
            user: row.get(4),
            bot: row.get(5),
            updated_at: row.get(9),
            scopes: row.get(6).unwrap_or_default(),
            organization: row.get(7),
        }
    }

    /// Whether it has yet to say which scopes it is to have.
    pub(super) fn is_open(&self, table: u32) -> bool {
        self.scopes.is_empty() && is_open(table, self.row)
    }
}

/// Those of these rows that there are. The caller has the rights of the tables' owner.
pub(super) fn describe(tables: &Tables, ids: &[i64]) -> BTreeMap<i64, Described> {
    let mut found = BTreeMap::new();
    if !ids.is_empty() {
        let describe = &tables.statements.describe;
        describe.rows(View::Newest, &[keys_argument(ids)], |row| {
            let row = Described::read(row);
            found.insert(row.row, row);
        });
    }
    found
}

/// What a team has.
pub(super) struct Kept {
    pub(super) row: Described,
    /// None, if no row can tell.
    pub(super) scopes: Option<Rc<[String]>>,
}

/// As the rows other than those show it, if there are any; one with a token, if there is one. It looks at one row, as long as the team
/// has a token at all. The caller has the rights of the tables' owner.
pub(super) fn look_up(tables: &Tables, team: &str, except: &[i64]) -> Option<Kept> {
    let arguments = [datum(team), keys_argument(except)];
    let find = |statement: &lockstep_server::Statement| {
        let mut found = None;
        statement.rows(View::Newest, &arguments, |row| found = row.get::<i64>(1));
        found.and_then(|row| describe(tables, &[row]).remove(&row))
    };
    let statements = &tables.statements;
    let row = find(&statements.one_with_token).or_else(|| find(&statements.one))?;
    let scopes = match row.is_open(tables.slack.oid) {
        true => find(&statements.one_with_scopes).map(|row| Rc::from(row.scopes)),
        false => Some(Rc::from(row.scopes.as_slice())),
    };
    Some(Kept { row, scopes })
}

type ByTeam = HashMap<(u32, String), Option<Rc<Kept>>>;

/// The scopes of a row before a statement linked it to more.
pub(super) struct Linked {
    pub(super) team: String,
    pub(super) scopes: Vec<i64>,
}

/// How many rows of a statement are remembered.
const MOST_LINKED: usize = 10_000;

thread_local! {
    /// As the rows of one statement find it. Nobody else can change it, as the team is locked.
    static KEPT: RefCell<ByTeam> = RefCell::new(HashMap::new());
    static LINKED: RefCell<HashMap<(u32, i64), Linked>> = RefCell::new(HashMap::new());
}

/// The team of a row and the scopes that it has.
pub(super) fn links_of(tables: &Tables, row: i64) -> Option<Linked> {
    let mut linked = None;
    tables.as_owner(|| {
        let links_of = &tables.statements.links_of;
        links_of.rows(View::Newest, &[keys_argument(&[row])], |answer| {
            linked = answer.get(1).map(|team| Linked {
                team,
                scopes: answer.get(2).unwrap_or_default(),
            });
        });
    });
    linked
}

/// The team of the row is locked.
pub(super) fn remember(table: u32, row: i64, linked: Linked) {
    LINKED.with_borrow_mut(|known| {
        if known.len() >= MOST_LINKED {
            known.clear();
        }
        known.insert((table, row), linked);
    });
}

/// Whether the row is known not to have had the scope. That it had one is never taken from here: the same statement may have deleted
/// the link, while one that came meanwhile breaks the table's unique index.
pub(super) fn lacked(table: u32, row: i64, scope: i64) -> bool {
    LINKED.with_borrow(|known| {
        known
            .get(&(table, row))
            .is_some_and(|linked| !linked.scopes.contains(&scope))
    })
}

/// What a team has, whose lock is held, before the first row of a statement came to it.
pub(super) fn of_team(tables: &Tables, team: &str) -> Option<Rc<Kept>> {
    let key = (tables.slack.oid, team.to_owned());
    if let Some(known) = KEPT.with_borrow(|known| known.get(&key).cloned()) {
        return known;
    }
    let kept = tables.as_owner(|| look_up(tables, team, &[])).map(Rc::new);
    KEPT.with_borrow_mut(|known| known.insert(key, kept.clone()));
    kept
}

/// Once the statement, or another within it, has written.
pub(super) fn forget() {
    KEPT.with_borrow_mut(HashMap::clear);
    LINKED.with_borrow_mut(HashMap::clear);
}

/// The best row of each team; one that has just come only if no other has a token. The caller runs with the rights of the tables'
/// owner.
pub(crate) fn best(tables: &Tables, teams: Vec<String>, came: &[i64]) -> BTreeMap<String, i64> {
    let mut best = BTreeMap::new();
    if !teams.is_empty() {
        let arguments = [datum(teams), keys_argument(came)];
        tables
            .statements
            .best
            .rows(View::Newest, &arguments, |row| {
                if let (Some(team), Some(id)) = (row.get(1), row.get(2)) {
                    best.insert(team, id);
                }
            });
    }
    best
}
