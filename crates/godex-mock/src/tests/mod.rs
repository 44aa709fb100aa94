//! Facts over a socket.
