//! Keys of any type, and the conditions that divide a table by them.
//!
//! A key is stored as the texts of its columns, so that the engine treats a bigint, a uuid and a pair of columns alike. A range
//! excludes the key it starts after, so rows inserted into its gaps belong to it.

use crate::error::{BackfillError, Result};
use lockstep_server::host::{Column, IntegerWidth, Relation};
use lockstep_server::{Rights, Statement, View, as_owner, connected, datum, with_settings};
use pgrx::pg_sys::{self, Datum, Oid};
use std::rc::Rc;

/// The values of the key's columns. An empty key means "before the first row".
pub(crate) type Key = Vec<String>;

/// The keys greater than `after`, up to and including `last`.
#[derive(Clone, Debug)]
pub(crate) struct KeyRange {
    pub(crate) after: Key,
    pub(crate) last: Key,
}

impl KeyRange {
    /// First and last key, both included, if they are integers.
    pub(crate) fn integers(&self) -> Option<(i64, i64)> {
        let last = self.last.first()?.parse().ok()?;
        let first = match self.after.first() {
            None => i64::MIN,
            Some(after) => after.parse::<i64>().ok()?.checked_add(1)?,
        };
        Some((first, last))
    }

    pub(crate) fn arguments(&self) -> [Datum; 2] {
        [datum(self.after.clone()), datum(self.last.clone())]
    }
}

/// The columns of a key, and the statements that walk a table by it.
pub(crate) struct Walk {
    pub(super) columns: Vec<Column>,
    /// `$1` after, `$2` last, `$3` rows: the key that many rows further.
    boundary: [Statement; 2],
    /// `$1` after, `$2` last: the number of rows.
    count: [Statement; 2],
    /// The last key of the table.
    last: Statement,
    owner: Rights,
}

/// Types whose order is the same in SQL text, in the index and for `operator(pg_catalog.<)`.
const KEY_TYPES: [Oid; 10] = [
    pg_sys::INT2OID,
    pg_sys::INT4OID,
    pg_sys::INT8OID,
    pg_sys::UUIDOID,
    pg_sys::TEXTOID,
    pg_sys::VARCHAROID,
    pg_sys::NUMERICOID,
    pg_sys::DATEOID,
    pg_sys::TIMESTAMPOID,
    pg_sys::TIMESTAMPTZOID,
];

impl Walk {
    pub(super) fn new(table: &Relation, key: &[String]) -> Result<Self> {
        let columns = key
            .iter()
            .map(|name| table.column(name).cloned())
            .collect::<Result<Vec<Column>>>()?;
        if let Some(column) = columns.iter().find(|column| !is_key_type(column)) {
            return Err(BackfillError::KeyType {
                table: table.qualified_name(),
                column: column.name.clone(),
                actual: column.type_name.clone(),
            }
            .into());
        }
        let name = table.qualified_name();
        let texts = texts_sql(&columns, "t");
        let order = order_sql(&columns, "");
        let descending = order_sql(&columns, " desc");
        // Without a lower bound, and with one.
        let conditions = [
            range_sql(&columns, "t", false),
            range_sql(&columns, "t", true),
        ];
        let by: Rc<[String]> = Rc::from(key);
        let range = [pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID];
        let with_rows = [range[0], range[1], pg_sys::INT8OID];
        Ok(Self {
            boundary: conditions.each_ref().map(|condition| {
                let text = format!(
                    "select {texts} from {name} t where {condition} order by {order}
                     offset $3 operator(pg_catalog.-) 1 limit 1"
                );
                Statement::by_index(&text, &with_rows, &by)
            }),
            count: conditions.each_ref().map(|condition| {
                let text = format!("select pg_catalog.count(*) from {name} t where {condition}");
                Statement::by_index(&text, &range, &by)
            }),
            last: Statement::new(
                &format!("select {texts} from {name} t order by {descending} limit 1"),
                &[],
            ),
            owner: table.rights(),
            columns,
        })
    }

    /// The range of ids from `start` to `end`, limited to what the key's type can hold; None if the key is not a single integer.
    pub(crate) fn ids(&self, start: i64, end: i64) -> Option<KeyRange> {
        let [column] = self.columns.as_slice() else {
            return None;
        };
        let (least, most) = match column.integer_width()? {
            IntegerWidth::Two => (i64::from(i16::MIN), i64::from(i16::MAX)),
            IntegerWidth::Four => (i64::from(i32::MIN), i64::from(i32::MAX)),
            IntegerWidth::Eight => (i64::MIN, i64::MAX),
        };
        if start > most || end < least {
            let none = vec![most.to_string()];
            return Some(KeyRange {
                after: none.clone(),
                last: none,
            });
        }
        Some(KeyRange {
            // There is no key before the smallest id.
            after: match start > least {
                true => vec![(start - 1).to_string()],
                false => Vec::new(),
            },
            last: vec![end.min(most).to_string()],
        })
    }

    /// The last key; None if the table is empty.
    pub(crate) fn last_key(&self) -> Option<Key> {
        let row = self.look(|| self.last.first_row::<Key, 1>(&[]));
        row.and_then(|[key]| key)
    }

    /// Cuts the first `rows` rows off a range; returns that part and its number of rows, which is smaller at the end of the
    /// range.
    pub(crate) fn cut(&self, range: &KeyRange, rows: i32) -> (KeyRange, i64) {
        let bounded = usize::from(!range.after.is_empty());
        let [after, last] = range.arguments();
        let rows = i64::from(rows);
        let arguments = [after, last, Datum::from(rows)];
        let boundary = self.look(|| {
            let mut key = None;
            self.boundary[bounded].rows(View::Own, &arguments, |row| key = row.get::<Key>(1));
            key
        });
        if let Some(last) = boundary {
            let after = range.after.clone();
            return (KeyRange { after, last }, rows);
        }
        let mut count = 0;
        self.look(|| {
            self.count[bounded].rows(View::Own, &[after, last], |row| {
                count = row.get::<i64>(1).unwrap_or_default();
            });
        });
        (range.clone(), count)
    }

    /// Runs as the owner of the table. Dates in keys are written in one style, because workers can have another DateStyle.
    fn look<R>(&self, work: impl FnOnce() -> R) -> R {
        as_owner(&self.owner, || {
            with_settings(&[(c"datestyle", c"iso, mdy")], || connected(work))
        })
    }
}

fn is_key_type(column: &Column) -> bool {
    KEY_TYPES.contains(&column.type_oid())
}

/// The condition that a row is in the range `$1` to `$2`.
pub(super) fn range_sql(columns: &[Column], alias: &str, has_lower_bound: bool) -> String {
    let names: Vec<String> = columns
        .iter()
        .map(|column| format!("{alias}.{}", column.quoted()))
        .collect();
    let values = |parameter: &str| -> String {
        let values = columns
            .iter()
            .enumerate()
            .map(|(place, column)| format!("({parameter})[{}]::{}", place + 1, column.type_name));
        values.collect::<Vec<_>>().join(", ")
    };
    let row = names.join(", ");
    let upper = format!("({row}) operator(pg_catalog.<=) ({})", values("$2"));
    match has_lower_bound {
        true => format!(
            "({row}) operator(pg_catalog.>) ({}) and {upper}",
            values("$1")
        ),
        // The parameter is named anyway, so that both statements take the same arguments.
        false => format!("$1 is not null and {upper}"),
    }
}

fn texts_sql(columns: &[Column], alias: &str) -> String {
    let texts = columns
        .iter()
        .map(|column| format!("{alias}.{}::pg_catalog.text", column.quoted()));
    format!("array[{}]", texts.collect::<Vec<_>>().join(", "))
}

fn order_sql(columns: &[Column], direction: &str) -> String {
    let columns = columns
        .iter()
        .map(|column| format!("t.{}{direction}", column.quoted()));
    columns.collect::<Vec<_>>().join(", ")
}
