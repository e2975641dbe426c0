//! Commits by SHA or abbreviated SHA, in a form that the application's indexes support.

use crate::error::{ChatopsError, Result};
use lockstep_server::host::Relation;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, Statement, connected, datum};
use pgrx::pg_sys::{self, Datum, Oid};

/// A SHA or its beginning, in lower case.
pub(super) struct Sha(String);

/// The arguments of conditions: the SHA or its beginning, and the smallest and greatest SHA that start with it.
pub(super) const TYPES: [Oid; 3] = [pg_sys::TEXTOID; 3];

kept! {
    static COLLATION: OwnStatement = OwnStatement::new(
        "select format('%I.%I', n.nspname, c.collname) from pg_collation c join pg_namespace n on n.oid = c.collnamespace
          where c.oid = $1",
        &[pg_sys::OIDOID],
    );
}

impl Sha {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let is_sha =
            (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match is_sha {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(ChatopsError::Sha {
                sha: text.chars().take(100).collect(),
            }
            .into()),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.0
    }

    fn is_whole(&self) -> bool {
        matches!(self.0.len(), 40 | 64)
    }

    /// Whether a column contains the commit. The application stores some SHAs as text and others as bytes.
    pub(super) fn condition(&self, table: &Relation, alias: &str, name: &str) -> Result<String> {
        let column = table.column(name)?;
        let is_bytes = column.type_oid() == pg_sys::BYTEAOID;
        Ok(match (is_bytes, self.is_whole()) {
            (true, true) => format!("{alias}.{name} == pg_catalog.decode($1, 'hex')"),
            (true, false) => format!(
                "{alias}.{name} operator(pg_catalog.>=) pg_catalog.decode($2, 'hex')
                 and {alias}.{name} operator(pg_catalog.<=) pg_catalog.decode($3, 'hex')"
            ),
            (false, true) => format!("{alias}.{name} == $1"),
            (false, false) => {
                let begins = format!("pg_catalog.starts_with({alias}.{name}::pg_catalog.text, $1)");
                match keeps_beginnings_together(column.collation)? {
                    true => format!(
                        "{alias}.{name} operator(pg_catalog.>=) $2 and {alias}.{name} operator(pg_catalog.<=) $3 and {begins}"
                    ),
                    false => begins,
                }
            }
        })
    }

    pub(super) fn arguments(&self) -> [Datum; 3] {
        // Padded to whole bytes.
        let least = match self.0.len() % 2 {
            0 => self.0.clone(),
            _ => format!("{}0", self.0),
        };
        // Longer than any SHA.
        let greatest = format!("{:f<66}", self.0);
        [datum(self.text()), datum(least), datum(greatest)]
    }
}

/// Whether a collation sorts all hexadecimal texts with the same beginning next to each other. In some languages two letters
/// count as one that sorts elsewhere: in Danish, aa comes after z.
fn keeps_beginnings_together(collation: u32) -> Result<bool> {
    let mut name: Option<String> = None;
    COLLATION.with(|statement| {
        statement.rows(&[datum(Oid::from(collation))], |row| name = row.get(1))
    })?;
    let Some(name) = name else {
        return Ok(false);
    };
    let text = format!(
        "with digit as (select pg_catalog.substr('0123456789abcdef', n, 1) as it from pg_catalog.generate_series(1, 16) n)
         select pg_catalog.bool_and(
                  (a.it operator(pg_catalog.||) b.it) collate {name} operator(pg_catalog.>=) (a.it operator(pg_catalog.||) '0')
                  and (a.it operator(pg_catalog.||) b.it) collate {name}
                      operator(pg_catalog.<=) (a.it operator(pg_catalog.||) pg_catalog.repeat('f', 65)))
           from digit a, digit b"
    );
    let query = Statement::new(&text, &[]);
    let mut is_so = false;
    connected(|| {
        query.rows(lockstep_server::View::NewestReadOnly, &[], |row| {
            is_so = row.get(1).unwrap_or_default();
        });
    });
    Ok(is_so)
}
