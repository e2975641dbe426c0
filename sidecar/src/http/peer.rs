//! The client address of requests.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// The address of the connection, or the client's address if a proxy provides it.
    pub(crate) fn of(connected: IpAddr, headers: &HeaderMap, is_behind_proxy: bool) -> Self {
        let forwarded = is_behind_proxy.then(|| forwarded(headers)).flatten();
        forwarded.unwrap_or(Self(connected))
    }

    /// The network of one customer: for IPv6 that is half of the address.
    pub(crate) fn network(self) -> IpAddr {
        match self.0.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address => address,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let peer = parts.extensions.get().copied();
        Ok(peer.unwrap_or(Self(Ipv4Addr::UNSPECIFIED.into())))
    }
}

/// The last address, which the proxy has added: those before it are whatever the client sent.
fn forwarded(headers: &HeaderMap) -> Option<Peer> {
    let last = headers.get_all(FORWARDED_FOR).iter().next_back()?;
    let last = last.to_str().ok()?.rsplit(',').next()?.trim();
    let address = last.parse::<IpAddr>();
    // Some include the port as well.
    let address = address.or_else(|_| last.parse().map(|socket: SocketAddr| socket.ip()));
    Some(Peer(address.ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use axum::http::{HeaderMap, HeaderValue};

    use super::{FORWARDED_FOR, Peer, forwarded};

    #[test]
    fn last_address_is_the_proxys_word() {
        let of = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(FORWARDED_FOR, HeaderValue::from_static(value));
            }
            forwarded(&headers)
        };
        let here = Some(Peer(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7))));
        assert_eq!(of(&["192.0.2.7"]), here);
        assert_eq!(of(&["192.0.2.1, 192.0.2.7"]), here);
        assert_eq!(of(&["192.0.2.1", "192.0.2.2,192.0.2.7 "]), here);
        assert_eq!(of(&["2001:db8::7"]).map(|it| it.0.is_ipv6()), Some(true));
        assert_eq!(of(&["192.0.2.7:80"]), here);
        assert_eq!(of(&["192.0.2.1, [2001:db8::7]:80"]), of(&["2001:db8::7"]));
        for none in [&[][..], &[""], &["192.0.2.7, unknown"], &["192.0.2.7:"]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
