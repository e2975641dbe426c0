//! With whose rights something is done.

#![allow(unsafe_code)]

use pgrx::pg_sys::{self, Oid};

/// Runs `work` with the rights of `owner`, exempt from that owner's own row security, as PostgreSQL runs the queries of
/// foreign keys. An abort restores the former user by itself.
pub(crate) fn as_owner<R>(owner: Oid, work: impl FnOnce() -> R) -> R {
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_NOFORCE_RLS;
    as_user(owner, flags as i32, work)
}

/// Runs `work` as the owner of the extension's tables, which callers need no rights on.
pub(crate) fn as_extension_owner<R>(owner: Oid, work: impl FnOnce() -> R) -> R {
    as_user(owner, pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32, work)
}

/// Runs `work`, which is code of that role, with its rights. Unless the session is that role's own, the code cannot take the
/// rights of the session, nor leave anything behind in it: whoever runs it must not lend it more than it has.
pub(crate) fn as_no_other<R>(role: Oid, work: impl FnOnce() -> R) -> R {
    if role == session_user() && role == current_user() {
        return work();
    }
    let flags = pg_sys::SECURITY_LOCAL_USERID_CHANGE | pg_sys::SECURITY_RESTRICTED_OPERATION;
    as_user(role, flags as i32, work)
}

fn as_user<R>(user: Oid, flags: i32, work: impl FnOnce() -> R) -> R {
    let mut former = Oid::INVALID;
    let mut context = 0;
    // SAFETY: reads the current user and switches to another; the pair is restored below or by an abort.
    unsafe {
        pg_sys::GetUserIdAndSecContext(&mut former, &mut context);
        pg_sys::SetUserIdAndSecContext(user, context | flags);
    }
    let result = work();
    // SAFETY: restores what was read above.
    unsafe { pg_sys::SetUserIdAndSecContext(former, context) };
    result
}

/// Whether the current user has the rights of that role.
pub(crate) fn has_rights_of(role: Oid) -> bool {
    // SAFETY: looks up the memberships of the current user.
    unsafe { pg_sys::has_privs_of_role(pg_sys::GetUserId(), role) }
}

/// The role whose rights count now.
pub(crate) fn current_user() -> Oid {
    // SAFETY: reads a value of the session.
    unsafe { pg_sys::GetUserId() }
}

/// The role that the session was begun as.
pub(crate) fn session_user() -> Oid {
    // SAFETY: reads a value of the session.
    unsafe { pg_sys::GetSessionUserId() }
}
