//! What is dropped along with the extension, and whether a command drops it.

#![allow(unsafe_code)]

use crate::{Statement, connected, datum, has_rights_of, with_catalog_path};
use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag, ObjectType, Oid};
use std::ffi::{CStr, CString};
use std::sync::OnceLock;

/// The extension that the library is of.
static EXTENSION: OnceLock<&'static CStr> = OnceLock::new();

pub(crate) fn init(extension: &'static CStr) {
    // One library is of one extension, whoever calls twice.
    EXTENSION.get_or_init(|| extension);
}

fn extension() -> &'static CStr {
    EXTENSION.get().copied().unwrap_or_default()
}

/// Whether the event trigger that is called so stands before a DROP EXTENSION that names one of these.
#[expect(clippy::not_unsafe_ptr_arg_deref, reason = "only PostgreSQL makes one")]
pub fn drops_extension(fcinfo: pg_sys::FunctionCallInfo, names: &[&CStr]) -> bool {
    // SAFETY: PostgreSQL calls with a valid structure, whose context is a node or null; each node is read as what its tag says it is,
    // and the objects of DROP EXTENSION are strings.
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

/// Whether the caller may drop it: PostgreSQL has not asked yet, and nobody else shall make us wait for a lock.
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

/// Keeps the extension from being dropped until the transaction ends; comes before any of its tables. A drop takes the extension
/// first as well, and then its tables in an order of its own: of the two one could have a table that the other waits for.
pub fn keep_extension() {
    // SAFETY: looks a name up and takes a lock of the transaction. It is taken by OID, so that of an extension that is gone by
    // then does no harm: the next statement finds no tables.
    unsafe {
        let extension = pg_sys::get_extension_oid(extension().as_ptr(), true);
        if extension != Oid::INVALID {
            let shared = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            pg_sys::LockDatabaseObject(pg_sys::ExtensionRelationId, extension, 0, shared);
        }
    }
}

/// Has a trigger dropped along with the extension, as ALTER TRIGGER ... DEPENDS ON EXTENSION does; but that locks the table against
/// readers.
pub fn drop_with_extension(table: Oid, trigger: &str) {
    let trigger = CString::new(trigger).unwrap_or_default();
    // SAFETY: looks up trigger and extension, or raises an error if one is not there; names and addresses outlive the calls. The lock has
    // whoever drops the extension wait until the dependency can be seen.
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
    // SAFETY: as the caller says.
    unsafe {
        #[cfg(any(feature = "pg13", feature = "pg14"))]
        return (*node.cast::<pg_sys::Value>()).val.str_;
        #[cfg(not(any(feature = "pg13", feature = "pg14")))]
        (*node.cast::<pg_sys::String>()).sval
    }
}
