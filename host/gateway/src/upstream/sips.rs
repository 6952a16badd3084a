//! Reads from a host in small amounts.
//!
//! hyper doubles its buffer each time that a read fills it, up to 400 KiB, and keeps it as long as the client has not
//! read a piece of it. A buffer that is never filled stays as small as it was.

use crate::tls::Connection;
use std::io::{IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf, Take};

/// Maximum number of bytes of one read: less than hyper's first buffer has.
const MOST: u64 = (8 << 10) - 1;

/// A connection to a host.
pub(super) struct Sips(Take<Box<dyn Connection>>);

impl Sips {
    pub(super) fn of(connection: Box<dyn Connection>) -> Self {
        Self(connection.take(MOST))
    }

    fn inner(&mut self) -> Pin<&mut Box<dyn Connection>> {
        Pin::new(self.0.get_mut())
    }
}

impl AsyncRead for Sips {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.0.set_limit(MOST);
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Sips {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.inner().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner().poll_shutdown(context)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<Result<usize>> {
        self.inner().poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.get_ref().is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn one_read_takes_less_than_hypers_first_buffer_has_and_all_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        server.write_all(&[7; 20 << 10]).await.unwrap();
        drop(server);
        let mut space = vec![0; 32 << 10];
        while client.peek(&mut space).await.unwrap() < 20 << 10 {}
        let mut sips = Sips::of(Box::new(client));
        let mut reads = Vec::new();
        loop {
            match sips.read(&mut space).await.unwrap() {
                0 => break,
                read => reads.push(read),
            }
        }
        let most = usize::try_from(MOST).unwrap();
        assert_eq!(reads, [most, most, (20 << 10) - 2 * most]);
    }
}
