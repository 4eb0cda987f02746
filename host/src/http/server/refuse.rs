//! Refuses a connection at the limit on connections.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;

/// How long a refused peer has to read the response.
const LINGER_MAX: Duration = Duration::from_secs(1);

// Alertmanager retries 5xx.
const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/json\r\n\
    content-length: 54\r\n\
    connection: close\r\n\
    x-content-type-options: nosniff\r\n\r\n\
    {\"error\":\"too many connections (web.connections_max)\"}";

/// Responds 503 and reads what the peer sends until the peer has seen the response: closing a connection with unread bytes
/// would discard it.
pub(super) async fn refuse(mut stream: TcpStream, _linger: OwnedSemaphorePermit) {
    let said = async {
        stream.write_all(ANSWER).await?;
        stream.shutdown().await?;
        let mut rest = [0; 4096];
        while stream.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // A peer that does not read has gone, which ends the connection too.
    let _ = tokio::time::timeout(LINGER_MAX, said).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    #[test]
    fn the_length_that_is_told_is_that_of_the_body() {
        let answer = std::str::from_utf8(super::ANSWER).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
        serde_json::from_str::<serde_json::Value>(body).unwrap();
    }
}
