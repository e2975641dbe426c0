//! Flags this backend has read, cached while no statement could read anything else.

use super::check_name;
use super::gates::Gates;
use super::tables::Tables;
use crate::error::Result;
use lockstep_server::{Moment, View, host, is_serializable};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// More flags than an application has; flags beyond this are read each time.
const MOST: usize = 1_000;

struct Known {
    moment: Moment,
    generation: u64,
    schema: String,
    flags: HashMap<String, Rc<Gates>>,
}

thread_local! {
    static KNOWN: RefCell<Option<Known>> = const { RefCell::new(None) };
}

/// A flag as the calling statement sees it.
pub(super) fn gates(name: &str, schema: &str) -> Result<Rc<Gates>> {
    // A serializable transaction must be seen reading, or PostgreSQL would miss the dependency.
    let moment = match is_serializable() {
        true => None,
        false => Moment::of_caller(),
    };
    let is_now = |known: &Known| {
        moment == Some(known.moment)
            && known.generation == host::generation()
            && known.schema == schema
    };
    let found = KNOWN.with_borrow(|known| {
        let known = known.as_ref().filter(|known| is_now(known))?;
        known.flags.get(name).cloned()
    });
    if let Some(gates) = found {
        return Ok(gates);
    }
    check_name(name)?;
    let tables = Tables::find(schema)?;
    if tables.is_none() {
        host::check_schema(schema)?;
    }
    let gates = Rc::new(Gates::read(name, tables.as_deref(), View::Caller)?);
    if let Some(moment) = moment {
        KNOWN.with_borrow_mut(|known| {
            let kept = known
                .take()
                .filter(|known| is_now(known) && known.flags.len() < MOST);
            let mut kept = kept.unwrap_or_else(|| Known {
                moment,
                generation: host::generation(),
                schema: schema.to_owned(),
                flags: HashMap::new(),
            });
            kept.flags.insert(name.to_owned(), Rc::clone(&gates));
            *known = Some(kept);
        });
    }
    Ok(gates)
}

/// After a rollback to a savepoint the moment is the same as before, but the rolled-back changes are gone.
pub(crate) fn forget() {
    KNOWN.take();
}
