//! A team's current values, read from any of its rows that the statement did not write: these are identical.

use super::open::is_open;
use crate::slack_workspace::host::Tables;
use lockstep_server::{Answer, View, datum, keys_argument};
use pgrx::datum::Timestamp;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// A row's part that belongs to the team.
pub(super) struct Described {
    pub(super) row: i64,
    pub(super) team: String,
    pub(super) token: Option<Vec<u8>>,
    pub(super) iv: Option<Vec<u8>>,
    pub(super) user: Option<String>,
    pub(super) bot: Option<String>,
    pub(super) updated_at: Option<Timestamp>,
    /// The names of its scopes in alphabetical order.
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
            scopes: scopes_described(row),
            organization: row.get(7),
        }
    }

    /// Whether its scopes are still to be written.
    pub(super) fn is_open(&self, table: u32) -> bool {
        self.scopes.is_empty() && is_open(table, self.row)
    }
}

/// The names of a described row's scopes in alphabetical order.
pub(crate) fn scopes_described(row: &Answer) -> Vec<String> {
    let mut scopes: Vec<String> = row.get(6).unwrap_or_default();
    scopes.sort_unstable();
    scopes
}

/// Those of the rows that exist. The caller has the rights of the tables' owner.
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

/// A team's values.
pub(super) struct Kept {
    pub(super) row: Described,
    /// None if no row can tell.
    pub(super) scopes: Option<Rc<[String]>>,
}

/// The values in the other rows, if there are any; preferably in one with a token. Reads a single row as long as the team has a
/// token. The caller has the rights of the tables' owner.
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

/// The scopes of a row as a statement found them.
pub(super) struct Linked {
    pub(super) team: String,
    pub(super) scopes: Vec<i64>,
}

/// The links of rows that a statement inserts links for, all of locked teams.
#[derive(Default)]
struct Links {
    of_rows: HashMap<(u32, i64), Linked>,
    /// How many rows were read at once last time: the application links rows in id order, a batch per statement.
    read: i64,
    /// The statement deletes links as well, so that an existing one may be gone.
    deletes: bool,
}

/// The maximum number of rows read at once, and cached.
const MOST_READ: i64 = 64;
const MOST_REMEMBERED: usize = 10_000;

thread_local! {
    /// As a statement's rows find it. Nobody else can change it, because the team is locked.
    static KEPT: RefCell<ByTeam> = RefCell::new(HashMap::new());
    static LINKS: RefCell<Links> = RefCell::new(Links::default());
}

/// How many rows the next query reads.
pub(super) fn next_window() -> i64 {
    LINKS.with_borrow_mut(|links| {
        links.read = (links.read * 4).clamp(1, MOST_READ);
        links.read
    })
}

/// The links of a row and of the next ones in id order.
pub(super) fn read_links(tables: &Tables, first: i64, count: i64) -> HashMap<i64, Linked> {
    let mut found = HashMap::new();
    let last = first.saturating_add(count - 1);
    tables.as_owner(|| {
        let links_of = &tables.statements.links_of;
        links_of.rows(View::Newest, &[first, last].map(datum), |answer| {
            if let (Some(row), Some(team)) = (answer.get(1), answer.get(2)) {
                let scopes = answer.get(3).unwrap_or_default();
                found.insert(row, Linked { team, scopes });
            }
        });
    });
    found
}

/// Whether a row has a scope, if known. That it lacks one is certain enough: the table's unique index rejects a link inserted in
/// the meantime.
pub(super) fn is_linked(table: u32, row: i64, scope: i64) -> Option<bool> {
    LINKS.with_borrow(|links| {
        let linked = links.of_rows.get(&(table, row))?;
        let is_linked = linked.scopes.contains(&scope);
        (!is_linked || !links.deletes).then_some(is_linked)
    })
}

/// Caches the links of a team, which is locked.
pub(super) fn remember(table: u32, team: &str, found: HashMap<i64, Linked>) {
    LINKS.with_borrow_mut(|links| {
        if links.of_rows.len() >= MOST_REMEMBERED {
            links.of_rows.clear();
        }
        let of_team = found.into_iter().filter(|(_, linked)| linked.team == team);
        links
            .of_rows
            .extend(of_team.map(|(row, linked)| ((table, row), linked)));
    });
}

/// From now on the statement deletes or changes links.
pub(super) fn doubt_links() {
    LINKS.with_borrow_mut(|links| links.deletes = true);
}

/// The values of a locked team before a statement's first row was added.
pub(super) fn of_team(tables: &Tables, team: &str) -> Option<Rc<Kept>> {
    let key = (tables.slack.oid, team.to_owned());
    if let Some(known) = KEPT.with_borrow(|known| known.get(&key).cloned()) {
        return known;
    }
    let kept = tables.as_owner(|| look_up(tables, team, &[])).map(Rc::new);
    KEPT.with_borrow_mut(|known| known.insert(key, kept.clone()));
    kept
}

/// Whether a locked team had this token before the statement's first row was added, as far as that has been asked.
pub(super) fn had_token(table: u32, team: &str, token: &[u8]) -> bool {
    let key = (table, team.to_owned());
    KEPT.with_borrow(|known| {
        let kept = known.get(&key).and_then(Option::as_ref);
        kept.is_some_and(|kept| kept.row.token.as_deref() == Some(token))
    })
}

/// Called when the statement, or one nested in it, has written.
pub(super) fn forget() {
    KEPT.with_borrow_mut(HashMap::clear);
    LINKS.take();
}

/// The best row of each team; a row that was just added only if no other has a token. The caller runs with the rights of the
/// tables' owner.
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
