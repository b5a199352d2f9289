using System;

namespace Dancerev {
    /// <summary>
    /// One dancer's stream: datagrams in, the body to show now out. The two ends may be on different threads.
    /// </summary>
    internal sealed class VmcStream {
        private const int RateOver = 45; // bodies

        private readonly object _lock = new object();
        private readonly OscReader _reader = new OscReader();
        private readonly FrameAssembler _assembler;
        private readonly JitterBuffer _buffer = new JitterBuffer();
        private readonly LocalPose _pose = new LocalPose();
        private readonly double[] _arrivals = new double[RateOver]; // a ring
        private int _next;
        private int _known;
        private long _datagrams;

        /// <summary>A stream to which nothing has come.</summary>
        public VmcStream() {
            _assembler = new FrameAssembler(Add);
        }

        /// <summary>See <see cref="JitterBuffer.Delay"/>: seconds, 0 to 0.5.</summary>
        public double Delay {
            get { lock (_lock) { return _buffer.Delay; } }
            set { lock (_lock) { _buffer.Delay = Math.Max(0.0, Math.Min(0.5, value)); } }
        }

        /// <summary>Number of datagrams so far, of whatever content.</summary>
        public long Datagrams {
            get { lock (_lock) { return _datagrams; } }
        }

        /// <summary>Takes what arrived at <paramref name="now"/> (seconds); never throws for its content.</summary>
        public void Receive(byte[] data, int length, double now) {
            lock (_lock) {
                _datagrams++;
                _assembler.Now = now;
                _reader.Read(data, length, _assembler);
            }
        }

        /// <summary>
        /// Writes the body to show at <paramref name="now"/> (seconds) into <paramref name="body"/>; false, and nothing
        /// written, while no bodies come.
        /// </summary>
        public bool Sample(double now, WorldBody body) {
            lock (_lock) {
                if (!_buffer.Sample(now, _pose)) return false;
                body.Set(_pose);
                return true;
            }
        }

        /// <summary>Bodies per second of late; 0 while none come.</summary>
        public double PosesPerSecond(double now) {
            lock (_lock) {
                if (_known < 2 || !_buffer.IsReceiving(now)) return 0.0;
                double newest = _arrivals[(_next + RateOver - 1) % RateOver];
                double oldest = _arrivals[(_next + RateOver - _known) % RateOver];
                return newest > oldest ? (_known - 1) / (newest - oldest) : 0.0;
            }
        }

        private void Add(LocalPose pose, double arrival) {
            if (!_buffer.IsReceiving(arrival)) _known = 0; // a pause is no part of the rate
            _buffer.Add(pose, arrival);
            _arrivals[_next] = arrival;
            _next = (_next + 1) % RateOver;
            _known = Math.Min(_known + 1, RateOver);
        }
    }
}
