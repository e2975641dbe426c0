//! Whether a command drops the extension, and what is dropped with it.

#![allow(unsafe_code)]

use crate::{Statement, connected, datum, has_rights_of, with_catalog_path};
use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag, ObjectType, Oid};
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

/// The extension that this library implements.
static EXTENSION: OnceLock<&'static CStr> = OnceLock::new();

pub(crate) fn init(extension: &'static CStr) {
    // Each library implements one extension, so a second call changes nothing.
    EXTENSION.get_or_init(|| extension);
}

pub(crate) fn extension() -> &'static CStr {
    EXTENSION.get().copied().unwrap_or_default()
}

/// Whether an event trigger was called for a DROP EXTENSION that names one of these extensions.
#[expect(clippy::not_unsafe_ptr_arg_deref, reason = "only PostgreSQL makes one")]
pub fn drops_extension(fcinfo: pg_sys::FunctionCallInfo, names: &[&CStr]) -> bool {
    // SAFETY: PostgreSQL passes a valid structure whose context is a node or null. Each node is read as the type its tag gives;
    // the objects of DROP EXTENSION are strings.
    unsafe {
        let context = (*fcinfo).context;
        if context.is_null() || (*context).type_ != NodeTag::T_EventTriggerData {
            return false;
        }
        let statement = (*context.cast::<pg_sys::EventTriggerData>()).parsetree;
        if statement.is_null() || (*statement).type_ != NodeTag::T_DropStmt {
            return false;
        }
        let statement = statement.cast::<pg_sys::DropStmt>();
        (*statement).removeType == ObjectType::OBJECT_EXTENSION
            && PgList::<pg_sys::Node>::from_pg((*statement).objects)
                .iter_ptr()
                .any(|object| names.contains(&CStr::from_ptr(text_of(object))))
    }
}

/// Whether the caller may drop the extension. PostgreSQL has not checked yet, and a caller without the right must not make us
/// wait for a lock.
pub fn may_drop() -> bool {
    let query = Statement::new(
        "select e.extowner::bigint::text from pg_extension e where e.extname = $1",
        &[pg_sys::TEXTOID],
    );
    let name = extension().to_string_lossy().into_owned();
    let owner = with_catalog_path(|| connected(|| query.text(&[datum(name)])));
    let owner = owner.and_then(|owner| owner.parse::<u32>().ok());
    owner.is_some_and(|owner| has_rights_of(Oid::from(owner)))
}

/// Prevents a drop of the extension until the transaction ends. Call it before locking any of the extension's tables: DROP
/// EXTENSION locks the extension first and then the tables in its own order, so taking a table first could deadlock.
pub fn keep_extension() {
    // SAFETY: looks up a name and takes a transaction lock. The lock is by OID, so it is harmless if the extension is gone by
    // then: the next statement finds no tables.
    unsafe {
        let extension = pg_sys::get_extension_oid(extension().as_ptr(), true);
        if extension != Oid::INVALID {
            let shared = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            pg_sys::LockDatabaseObject(pg_sys::ExtensionRelationId, extension, 0, shared);
        }
    }
}

/// Makes DROP EXTENSION drop the trigger too. ALTER TRIGGER ... DEPENDS ON EXTENSION does the same, but locks the table against
/// readers.
pub fn drop_with_extension(table: Oid, trigger: &str) {
    let trigger = CString::new(trigger).unwrap_or_default();
    // SAFETY: looks up trigger and extension, or raises an error if one is missing; names and addresses outlive the calls. The
    // lock makes a concurrent DROP EXTENSION wait until it can see the dependency.
    unsafe {
        let name = extension().as_ptr();
        let extension = pg_sys::get_extension_oid(name, false);
        let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
        pg_sys::LockDatabaseObject(pg_sys::ExtensionRelationId, extension, 0, lock);
        let extension = pg_sys::ObjectAddress {
            classId: pg_sys::ExtensionRelationId,
            objectId: pg_sys::get_extension_oid(name, false),
            objectSubId: 0,
        };
        let trigger = pg_sys::ObjectAddress {
            classId: pg_sys::TriggerRelationId,
            objectId: pg_sys::get_trigger_oid(table, trigger.as_ptr(), false),
            objectSubId: 0,
        };
        let kind = pg_sys::DependencyType::DEPENDENCY_AUTO_EXTENSION;
        pg_sys::recordDependencyOn(&trigger, &extension, kind);
    }
}

/// # Safety
///
/// The node is a string.
unsafe fn text_of(node: *mut pg_sys::Node) -> *const std::ffi::c_char {
    // SAFETY: see above.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14"))]
        return (*node.cast::<pg_sys::Value>()).val.str_;
        #[cfg(not(any(feature = "pg13", feature = "pg14")))]
        (*node.cast::<pg_sys::String>()).sval
    }
}
