//! Which extensions a command drops, as an event trigger before it is told.

#![allow(unsafe_code)]

use pgrx::PgList;
use pgrx::pg_sys::{self, NodeTag, ObjectType};
use std::ffi::CStr;

/// Whether the event trigger that is called so stands before a DROP EXTENSION that names this one.
pub(crate) fn drops_extension(fcinfo: pg_sys::FunctionCallInfo, name: &str) -> bool {
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
                .any(|object| CStr::from_ptr(text_of(object)).to_bytes() == name.as_bytes())
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
