using System;
using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Threading;

namespace Dancerev {
    /// <summary>Brings what comes to one UDP port (IPv4, all network cards) into a stream, on its own thread.</summary>
    internal sealed class UdpListener : IDisposable {
        private const int MaxDatagram = 65536;
        private const int PollMicroseconds = 20000; // how soon the thread notices that it shall end

        private readonly Socket _socket;
        private readonly VmcStream _stream;
        private readonly Thread _thread;
        private volatile bool _stopping;

        /// <summary>Opens the port and begins to listen.</summary>
        /// <param name="port">1 to 65535, or 0 for any free one.</param>
        /// <param name="stream">Takes the datagrams.</param>
        /// <exception cref="SocketException">The port is taken or not allowed.</exception>
        public UdpListener(int port, VmcStream stream) {
            _stream = stream;
            _socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
            try {
                // Mono shares ports unless told not to; the datagrams would then go to one receiver of the two.
                _socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, false);
                _socket.Bind(new IPEndPoint(IPAddress.Any, port));
            } catch (SocketException) {
                _socket.Close();
                throw;
            }
            Port = ((IPEndPoint)_socket.LocalEndPoint).Port;
            _thread = new Thread(Listen) { IsBackground = true, Name = "Dancerev port " + Port };
            _thread.Start();
        }

        /// <summary>The clock of arrivals: seconds, steady, from an unspecified start.</summary>
        public static double Now => (double)Stopwatch.GetTimestamp() / Stopwatch.Frequency;

        /// <summary>The port in use.</summary>
        public int Port { get; }

        /// <summary>Ends the thread and gives the port back; takes up to 20 ms.</summary>
        public void Dispose() {
            _stopping = true;
            // The thread goes first: closing a socket that another thread waits on hangs on some systems.
            _thread.Join(1000);
            _socket.Close();
        }

        private void Listen() {
            var buffer = new byte[MaxDatagram];
            while (!_stopping) {
                try {
                    if (_socket.Poll(PollMicroseconds, SelectMode.SelectRead)) {
                        int length = _socket.Receive(buffer, 0, buffer.Length, SocketFlags.None, out SocketError error);
                        if (error == SocketError.Success) {
                            _stream.Receive(buffer, length, Now);
                        }
                    }
                } catch (SocketException) {
                    Thread.Sleep(20); // a network card that goes away and comes back
                } catch (ObjectDisposedException) {
                    return;
                }
            }
        }
    }
}
