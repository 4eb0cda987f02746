//! How a request can end that is to change something, and what is known of the change: one table for HTTP and Slack.
//!
//! Sources: RFC 9110 sections 10.2.3, 15.5 and 15.6; RFC 6585 section 6; Slack's documentation of the errors of
//! chat.postMessage, chat.update and reactions.add (docs.slack.dev/reference/methods).

/// What is known of a change that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The request never left: it was withheld, or there was no connection to send it on.
    NotSent,
    /// It was received and refused; nothing was changed.
    Refused,
    /// It is done.
    Made,
    /// It may be done: nobody said.
    Unknown,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending<'a> {
    /// Withheld here: not granted, not valid, over a limit, not its turn, or nothing can be recorded.
    Withheld,
    /// No name, no connection or no TLS.
    NotConnected,
    /// The connection broke, or the time was up, when a part of the request may have been sent.
    NotAnswered,
    /// HTTP answered with this status.
    Status {
        status: u16,
        /// It came with Retry-After.
        says_when: bool,
    },
    /// Slack answered 2xx with what cannot be read: cut off, oversized, not JSON.
    SlackUnreadable,
    /// Slack answered with this status, not 2xx.
    SlackStatus {
        status: u16,
        /// It came with Retry-After.
        says_when: bool,
    },
    /// Slack answered `ok: true`.
    SlackOk,
    /// Slack answered `ok: false` with this code.
    SlackError(&'a str),
}

/// Returns what an ending says about the change that was asked for.
pub(super) fn change_of(ending: Ending<'_>) -> Change {
    match ending {
        Ending::Withheld | Ending::NotConnected => Change::NotSent,
        Ending::NotAnswered | Ending::SlackUnreadable => Change::Unknown,
        Ending::Status { status, says_when } => match status {
            200..400 => Change::Made,
            400..500 => Change::Refused,
            status => of_server_error(status, says_when),
        },
        Ending::SlackStatus { status, says_when } => match status {
            // A redirect is not followed, and Slack's own answers are 200: whoever answered has posted nothing.
            300..500 => Change::Refused,
            status => of_server_error(status, says_when),
        },
        Ending::SlackOk => Change::Made,
        Ending::SlackError(code) => match slack_code(code) {
            SlackCode::AlreadyDone => Change::Made,
            SlackCode::MayBeDone(_) => Change::Unknown,
            SlackCode::RateLimited
            | SlackCode::Transient
            | SlackCode::TokenRefused
            | SlackCode::ChannelRefused
            | SlackCode::BlocksRefused
            | SlackCode::Gone
            | SlackCode::Other => Change::Refused,
        },
    }
}

/// A server that fails may fail after the change; a proxy that fails (502, 504, and 503 where the connection behind it
/// was reset, as with Envoy) may have passed the request on.
fn of_server_error(status: u16, says_when: bool) -> Change {
    match status {
        // It says when it will be able to handle requests again: it is not handling this one.
        503 if says_when => Change::Refused,
        // The method or the version is not supported at all; a captive portal stands in between.
        501 | 505 | 511 => Change::Refused,
        _ => Change::Unknown,
    }
}

/// How a change that may have been made is reported to the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reported {
    /// As `timeout`: sent or not is unknown.
    AsTimeout,
    /// As `unavailable`.
    AsUnavailable,
}

/// What one of Slack's error codes means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlackCode {
    /// As good as done.
    AlreadyDone,
    /// Asked too often.
    RateLimited,
    /// Nothing happened, and the next try may succeed.
    Transient,
    /// Some of it may have happened.
    MayBeDone(Reported),
    /// Only whoever gave the token can help.
    TokenRefused,
    /// Only whoever owns the channel can help.
    ChannelRefused,
    /// The text alone may be taken.
    BlocksRefused,
    /// The message to change is gone, or too old.
    Gone,
    /// Any other: the request is at fault.
    Other,
}

/// Returns what a code means.
pub(super) fn slack_code(code: &str) -> SlackCode {
    match code {
        "already_reacted" => SlackCode::AlreadyDone,
        "ratelimited" | "rate_limited" => SlackCode::RateLimited,
        // `request_timeout`: the body did not arrive whole. The last two: the workspace is being moved to an organization.
        "service_unavailable" | "request_timeout" | "team_added_to_org" | "org_login_required" => {
            SlackCode::Transient
        }
        // Slack says of both: some aspect of the operation may have succeeded before the error was raised.
        "internal_error" => SlackCode::MayBeDone(Reported::AsUnavailable),
        "fatal_error" => SlackCode::MayBeDone(Reported::AsTimeout),
        "invalid_auth" | "not_authed" | "account_inactive" | "token_revoked" | "token_expired"
        | "missing_scope" => SlackCode::TokenRefused,
        "channel_not_found" | "not_in_channel" | "is_archived" | "restricted_action" => {
            SlackCode::ChannelRefused
        }
        "invalid_blocks" | "msg_blocks_too_long" | "msg_too_long" => SlackCode::BlocksRefused,
        "message_not_found" | "edit_window_closed" | "cant_update_message" => SlackCode::Gone,
        _ => SlackCode::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Change::{Made, NotSent, Refused, Unknown};

    #[test]
    fn what_did_not_leave_changed_nothing_and_what_was_not_answered_may_have() {
        for (ending, change) in [
            (Ending::Withheld, NotSent),
            (Ending::NotConnected, NotSent),
            (Ending::NotAnswered, Unknown),
            (Ending::SlackUnreadable, Unknown),
            (Ending::SlackOk, Made),
        ] {
            assert_eq!(change_of(ending), change, "{ending:?}");
        }
    }

    #[test]
    fn each_status_says_whether_the_change_was_made() {
        // Status, of any server without and with Retry-After, of Slack without and with it.
        for (status, http, http_later, slack, slack_later) in [
            (101, Unknown, Unknown, Unknown, Unknown),
            (200, Made, Made, Unknown, Unknown),
            (202, Made, Made, Unknown, Unknown),
            (302, Made, Made, Refused, Refused),
            (304, Made, Made, Refused, Refused),
            (400, Refused, Refused, Refused, Refused),
            (401, Refused, Refused, Refused, Refused),
            (404, Refused, Refused, Refused, Refused),
            (408, Refused, Refused, Refused, Refused),
            (409, Refused, Refused, Refused, Refused),
            (425, Refused, Refused, Refused, Refused),
            (429, Refused, Refused, Refused, Refused),
            (500, Unknown, Unknown, Unknown, Unknown),
            (501, Refused, Refused, Refused, Refused),
            (502, Unknown, Unknown, Unknown, Unknown),
            (503, Unknown, Refused, Unknown, Refused),
            (504, Unknown, Unknown, Unknown, Unknown),
            (505, Refused, Refused, Refused, Refused),
            (507, Unknown, Unknown, Unknown, Unknown),
            (511, Refused, Refused, Refused, Refused),
            (520, Unknown, Unknown, Unknown, Unknown),
            (599, Unknown, Unknown, Unknown, Unknown),
            (999, Unknown, Unknown, Unknown, Unknown),
        ] {
            for (says_when, http, slack) in [(false, http, slack), (true, http_later, slack_later)]
            {
                let ending = Ending::Status { status, says_when };
                assert_eq!(change_of(ending), http, "{ending:?}");
                let ending = Ending::SlackStatus { status, says_when };
                assert_eq!(change_of(ending), slack, "{ending:?}");
            }
        }
    }

    #[test]
    fn each_code_of_slack_says_whether_the_change_was_made_and_what_can_be_done() {
        let codes = |codes: &str| codes.split(' ').map(str::to_owned).collect::<Vec<_>>();
        for (given, meaning, change) in [
            (codes("already_reacted"), SlackCode::AlreadyDone, Made),
            (
                codes("ratelimited rate_limited"),
                SlackCode::RateLimited,
                Refused,
            ),
            (
                codes("service_unavailable request_timeout team_added_to_org org_login_required"),
                SlackCode::Transient,
                Refused,
            ),
            (
                codes("internal_error"),
                SlackCode::MayBeDone(Reported::AsUnavailable),
                Unknown,
            ),
            (
                codes("fatal_error"),
                SlackCode::MayBeDone(Reported::AsTimeout),
                Unknown,
            ),
            (
                codes(
                    "invalid_auth not_authed account_inactive token_revoked token_expired missing_scope",
                ),
                SlackCode::TokenRefused,
                Refused,
            ),
            (
                codes("channel_not_found not_in_channel is_archived restricted_action"),
                SlackCode::ChannelRefused,
                Refused,
            ),
            (
                codes("invalid_blocks msg_blocks_too_long msg_too_long"),
                SlackCode::BlocksRefused,
                Refused,
            ),
            (
                codes("message_not_found edit_window_closed cant_update_message"),
                SlackCode::Gone,
                Refused,
            ),
            (codes("no_text something_new"), SlackCode::Other, Refused),
        ] {
            for code in given {
                assert_eq!(slack_code(&code), meaning, "{code}");
                assert_eq!(change_of(Ending::SlackError(&code)), change, "{code}");
            }
        }
    }
}
