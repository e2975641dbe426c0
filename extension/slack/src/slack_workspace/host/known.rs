//! The application's tables and the statements on them, cached by this backend until one of the tables changes.

use super::statements::Statements;
use super::tables::Host;
use crate::error::{HostError, Result, SlackError};
use lockstep_server::host::{self, Known, Relation};
use lockstep_server::kept;
use pgrx::pg_sys::Oid;
use std::any::Any;
use std::cell::RefCell;
use std::ops::Deref;
use std::rc::Rc;

/// The trigger whose presence shows that the tables are attached.
pub(crate) const NOTE: &str = "lockstep_slack_note";

/// The tables, with the statements on them.
pub(crate) struct Tables {
    host: Host,
    pub(crate) statements: Statements,
    /// Statements that other modules prepare on these tables.
    others: RefCell<Vec<Rc<dyn Any>>>,
}

impl Deref for Tables {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

kept! {
    static KNOWN: RefCell<Known<String, Rc<Tables>>> = RefCell::new(Known::new());
}

impl Tables {
    /// The tables of a schema, cached by the backend until one of them changes.
    pub(crate) fn of_schema(schema: &str) -> Result<Rc<Self>> {
        // Processes other sessions' changes of the tables: this session may have been idle for long.
        host::catch_up();
        KNOWN.with(|known| {
            Known::get_or_learn(known, schema.to_owned(), || Self::new(Host::find(schema)?))
        })
    }

    /// The tables of an attached schema.
    pub(crate) fn attached(schema: &str) -> Result<Rc<Self>> {
        let tables = match Self::of_schema(schema) {
            // Only checked now, because it takes a query: tables that were found have a schema.
            Err(error) if matches!(error.topic(), Some(HostError::HostTableMissing { .. })) => {
                host::check_schema(schema)?;
                None
            }
            tables => Some(tables?),
        };
        let is_attached =
            |tables: &Rc<Self>| tables.slack.own_trigger(NOTE).is_some_and(|it| it.enabled);
        tables.filter(is_attached).ok_or_else(|| {
            SlackError::NotAttached {
                schema: schema.to_owned(),
            }
            .into()
        })
    }

    fn new(host: Host) -> Result<Rc<Self>> {
        Ok(Rc::new(Self {
            statements: Statements::new(&host),
            host,
            others: RefCell::default(),
        }))
    }

    /// A module's statements, prepared once while the tables stay unchanged.
    pub(crate) fn prepared<S: 'static>(&self, new: impl FnOnce(&Host) -> S) -> Rc<S> {
        let mut others = self.others.borrow_mut();
        let known = others
            .iter()
            .find_map(|it| Rc::clone(it).downcast::<S>().ok());
        known.unwrap_or_else(|| {
            let made = Rc::new(new(&self.host));
            others.push(Rc::clone(&made) as Rc<dyn Any>);
            made
        })
    }
}

/// The tables that this table of Slack integrations belongs to.
pub(crate) fn tables_of(oid: u32) -> Result<Rc<Tables>> {
    kept! {
            static TABLES: RefCell<Known<u32, Rc<Tables>>> = RefCell::new(Known::new());
    }
    TABLES.with(|known| {
        Known::get_or_learn(known, oid, || {
            host::watch(Oid::from(oid));
            Tables::of_schema(Relation::describe(oid)?.schema())
        })
    })
}
