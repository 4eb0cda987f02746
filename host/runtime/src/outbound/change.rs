//! Whether a request made its change, by how it ended.
//!
//! Source: RFC 9110 sections 10.2.3, 15.5 and 15.6; RFC 6585 section 6.

/// Whether a requested change was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// No: the request was not sent.
    NotSent,
    /// No: the request was received and refused.
    Refused,
    /// Yes.
    Made,
    /// Not known: the request may have been sent, and no answer says more.
    Unknown,
}

impl Change {
    /// Returns whether the change was made, by the status. `says_when` is true if the answer has Retry-After.
    pub(crate) fn of_status(status: u16, says_when: bool) -> Self {
        match status {
            200..400 => Self::Made,
            400..500 => Self::Refused,
            status => Self::of_server_error(status, says_when),
        }
    }

    /// Like [`Self::of_status`], for 5xx. A server may fail after the change. A proxy (502, 504, and 503 from Envoy if the
    /// connection behind it was reset) may have passed the request on.
    pub(crate) fn of_server_error(status: u16, says_when: bool) -> Self {
        match status {
            // The server says when it will handle requests again, so it does not handle this one.
            503 if says_when => Self::Refused,
            // 501 and 505: the method or version is not supported. 511: a captive portal answered.
            501 | 505 | 511 => Self::Refused,
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Change::{self, Made, Refused, Unknown};

    #[test]
    fn each_status_says_whether_the_change_was_made() {
        // The status, then the change without and with Retry-After.
        for (status, at_once, later) in [
            (101, Unknown, Unknown),
            (200, Made, Made),
            (202, Made, Made),
            (302, Made, Made),
            (304, Made, Made),
            (400, Refused, Refused),
            (401, Refused, Refused),
            (404, Refused, Refused),
            (408, Refused, Refused),
            (409, Refused, Refused),
            (425, Refused, Refused),
            (429, Refused, Refused),
            (500, Unknown, Unknown),
            (501, Refused, Refused),
            (502, Unknown, Unknown),
            (503, Unknown, Refused),
            (504, Unknown, Unknown),
            (505, Refused, Refused),
            (507, Unknown, Unknown),
            (511, Refused, Refused),
            (520, Unknown, Unknown),
            (599, Unknown, Unknown),
            (999, Unknown, Unknown),
        ] {
            for (says_when, expected) in [(false, at_once), (true, later)] {
                let change = Change::of_status(status, says_when);
                assert_eq!(change, expected, "{status}, Retry-After: {says_when}");
            }
        }
    }
}
