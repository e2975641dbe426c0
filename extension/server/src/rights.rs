//! Whose rights something runs with. Nothing else in the extensions switches roles; `.ci/rights` checks that.
//!
//! The owner of a table can attach code to it: domains, operators, casts, policies, triggers, defaults. So anything that touches
//! a table runs as the table's owner ([`as_owner`]), and a role's code runs as that role ([`as_role`]), never with the rights of
//! the current caller. The extension's own tables belong to a role without rights on anything else ([`as_ourselves`]).
//!
//! All three apply the restrictions that PostgreSQL uses for maintenance of other users' tables: the code cannot switch roles,
//! queue a deferred trigger that would fire with the caller's rights, or leave a temporary table or a setting behind. What it names
//! without a schema is not found where the caller chooses: see [`Rights`].

#![allow(unsafe_code)]

use crate::planner::set;
use pgrx::pg_sys::{self, Oid};
use std::ffi::{CStr, CString};

/// The search path of functions that pin it.
const PINNED: &CStr = c"pg_catalog, pg_temp";

/// Whose rights code gets, and the search path for what it names without a schema: the schema that the table or function is in, and
/// temporary objects last. A role that calls its own code keeps its path, as the application's triggers may count on it; our functions
/// have pinned theirs.
#[derive(Clone, Debug)]
pub struct Rights {
    pub role: Oid,
    path: CString,
}

impl Rights {
    /// Those of the owner of a table or function, which has this qualified name, quoted where necessary.
    pub fn of(owner: impl Into<Oid>, name: &str) -> Self {
        let mut is_quoted = false;
        let end = name.find(|character| {
            is_quoted ^= character == '"';
            character == '.' && !is_quoted
        });
        let schema = end.and_then(|end| name.get(..end)).unwrap_or("pg_catalog");
        Self {
            role: owner.into(),
            // A NUL cannot occur: PostgreSQL has stored the name.
            path: CString::new(format!("{schema}, pg_temp")).unwrap_or_default(),
        }
    }

    /// Those of another role in the same schema.
    pub fn with_role(&self, role: impl Into<Oid>) -> Self {
        Self {
            role: role.into(),
            path: self.path.clone(),
        }
    }

    fn set_path(&self) {
        // SAFETY: reads the current user, and the setting, which is a string at all times.
        let (is_other, current) = unsafe {
            let current = CStr::from_ptr(pg_sys::namespace_search_path);
            (pg_sys::GetUserId() != self.role, current)
        };
        if is_other || current == PINNED {
            set(&[(c"search_path", &self.path)]);
        }
    }
}

/// Reads or writes tables of the owner, exempt from that owner's own row security, like the queries of foreign keys.
pub fn as_owner<R>(owner: &Rights, work: impl FnOnce() -> R) -> R {
    switched(owner.role, Some(owner), pg_sys::SECURITY_NOFORCE_RLS, work)
}

/// Runs code of a role: a statement or function that it registered.
pub fn as_role<R>(role: &Rights, work: impl FnOnce() -> R) -> R {
    switched(role.role, Some(role), 0, work)
}

/// Reads or writes the extension's own tables, on which callers need no rights: they are checked by their rights on their own
/// tables, or by EXECUTE on the function.
pub fn as_ourselves<R>(work: impl FnOnce() -> R) -> R {
    switched(ourselves(), None, 0, work)
}

/// Runs `work`, which ends with the commit of the current transaction, as code of a role. That includes everything deferred to
/// the commit. `work` must not start another transaction.
pub fn for_whole_transaction<R>(role: Oid, work: impl FnOnce() -> R) -> R {
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    // SAFETY: switches the user inside a transaction; an abort restores the previous user by itself.
    unsafe { pg_sys::SetUserIdAndSecContext(role, flags as i32) };
    let result = work();
    // SAFETY: a commit restores nothing, and the next transaction must start unrestricted.
    unsafe { pg_sys::SetUserIdAndSecContext(session_user(), 0) };
    result
}

/// Makes a role the session user of a background worker that connected without one, for the rest of its life: in the server's
/// process list, and for pg_terminate_backend. Called outside a transaction, so that no abort reverts it.
pub fn begin_session_of(role: Oid, is_superuser: bool) {
    // SAFETY: no transaction is open; only this process writes its own entries.
    unsafe {
        pg_sys::SetSessionAuthorization(role, is_superuser);
        (*pg_sys::MyProc).roleId = role;
        #[cfg(not(feature = "pg18"))]
        pg_sys::pgstat_bestart();
        #[cfg(feature = "pg18")]
        pg_sys::pgstat_bestart_final();
    }
}

fn switched<R>(user: Oid, code: Option<&Rights>, flags: u32, work: impl FnOnce() -> R) -> R {
    let flags =
        flags | pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    let mut former = Oid::INVALID;
    let mut context = 0;
    // SAFETY: reads the current user and switches to another; user and settings are restored below, or when the (sub)transaction
    // aborts.
    let level = unsafe {
        pg_sys::GetUserIdAndSecContext(&mut former, &mut context);
        pg_sys::NewGUCNestLevel()
    };
    code.inspect(|code| code.set_path());
    // SAFETY: as above.
    unsafe { pg_sys::SetUserIdAndSecContext(user, context | flags as i32) };
    let result = work();
    // SAFETY: restores what was read above; the level is the innermost one, because `work` has ended those it started.
    unsafe {
        pg_sys::AtEOXact_GUC(false, level);
        pg_sys::SetUserIdAndSecContext(former, context);
    }
    result
}

/// The role that owns the extension's schema and everything in it.
pub(crate) fn ourselves() -> Oid {
    // SAFETY: looks up the schema, which exists as long as the extension does, or raises an error; the entry is read before it is
    // released.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"lockstep".as_ptr(), false);
        let cache = pg_sys::SysCacheIdentifier::NAMESPACEOID as i32;
        let entry = pg_sys::SearchSysCache1(cache, pg_sys::Datum::from(schema));
        if entry.is_null() {
            return Oid::INVALID;
        }
        let owner = (*pg_sys::GETSTRUCT(entry).cast::<pg_sys::FormData_pg_namespace>()).nspowner;
        pg_sys::ReleaseSysCache(entry);
        owner
    }
}

/// Whether the caller already has our role, as an extension built on this one does.
pub fn are_ourselves() -> bool {
    current_user() == ourselves()
}

/// Whether the current user has the rights of that role.
pub fn has_rights_of(role: Oid) -> bool {
    // SAFETY: looks up the current user's memberships.
    unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), role) }
}

/// Whether a role has the rights of another.
pub(crate) fn role_has_rights_of(member: u32, role: u32) -> bool {
    // SAFETY: looks up memberships.
    unsafe { pg_sys::has_privs_of_role(Oid::from(member), Oid::from(role)) }
}

/// Whether the current user has the rights of the named role. A superuser has those of a dropped role as well.
pub fn has_rights_of_name(role: &str) -> bool {
    let Ok(role) = CString::new(role) else {
        return false;
    };
    // SAFETY: the name ends with a NUL; an unknown name returns an invalid OID.
    let role = unsafe { pg_sys::get_role_oid(role.as_ptr(), true) };
    has_rights_of(role)
}

/// Whether the current user may clear away what is left of a dropped table, which was that role's.
pub fn may_clear(last_owner: Oid) -> bool {
    has_rights_of(last_owner) || has_rights_of_name("lockstep_admin")
}

/// The effective user.
pub fn current_user() -> Oid {
    // SAFETY: reads a session variable.
    unsafe { pg_sys::GetUserId() }
}

/// The user that the session started as.
pub fn session_user() -> Oid {
    // SAFETY: reads a session variable.
    unsafe { pg_sys::GetSessionUserId() }
}

/// What a role is called; its number, if it is gone.
pub fn role_name(role: Oid) -> String {
    // SAFETY: the function answers a palloc'd text, or null for a role that does not exist.
    let name = unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    };
    name.unwrap_or_else(|| role.to_u32().to_string())
}
