using System;

namespace Dancerev {
    /// <summary>
    /// Turns bodies that arrive unevenly into even motion, by the time that the sender stamped on them. Not for several
    /// threads.
    /// </summary>
    /// <remarks>
    /// The least time that bodies took of late (arrival less stamp) says how the sender's clock stands to this one.
    /// Playing runs that much, and <see cref="Delay"/>, behind; it never runs backwards within a performance.
    /// </remarks>
    internal sealed class JitterBuffer {
        /// <summary>Seconds without a body after which the sender counts as gone.</summary>
        public const double NoSignalAfter = 0.5;

        private const int Capacity = 64; // bodies: more than half a second of 120 Hz
        private const double AnotherClock = 0.5; // a stamp that is off by so many seconds is of another performance
        private const double Window = 2.0; // seconds after which a faster body is forgotten
        private const double Ease = 0.25; // seconds in which playing follows a change of delay

        private readonly LocalPose[] _frames = new LocalPose[Capacity]; // the first _count, by time
        private int _count;
        private double _arrived = double.NegativeInfinity;
        private double _leastBefore; // the least (arrival less stamp) in the window before this one ...
        private double _least; // ... and in this one
        private double _windowEnd;
        private bool _playing;
        private double _sampled;
        private double _playhead;

        /// <summary>An empty buffer.</summary>
        public JitterBuffer() {
            for (int i = 0; i < Capacity; i++) {
                _frames[i] = new LocalPose();
            }
        }

        /// <summary>
        /// Seconds, 0 to 0.5, by which bodies may be late and motion still be smooth. One frame of the sender more than
        /// the network's jitter; with 0 the newest body is shown at once.
        /// </summary>
        public double Delay { get; set; }

        /// <summary>Puts in a copy of a body that arrived at <paramref name="arrival"/> (seconds).</summary>
        public void Add(LocalPose pose, double arrival) {
            double lag = arrival - pose.Time;
            bool anew = _count == 0 || arrival - _arrived > NoSignalAfter || Math.Abs(lag - Lag) > AnotherClock;
            _arrived = arrival;
            if (anew) {
                _count = 0;
                _playing = false;
                _leastBefore = lag;
                StartWindow(lag, arrival);
            } else if (arrival > _windowEnd) {
                _leastBefore = _least;
                StartWindow(lag, arrival);
            } else {
                _least = Math.Min(_least, lag);
            }
            Insert(pose);
        }

        /// <summary>
        /// Writes the body to show at <paramref name="now"/> (seconds, never less than before) into
        /// <paramref name="result"/>; false if nothing came within <see cref="NoSignalAfter"/>.
        /// </summary>
        public bool Sample(double now, LocalPose result) {
            if (!IsReceiving(now)) return false;
            MovePlayhead(now);
            int last = 0; // the last body that is not in the future
            while (last + 1 < _count && _frames[last + 1].Time <= _playhead) {
                last++;
            }
            Forget(last);
            LocalPose from = _frames[0];
            if (_count == 1 || _playhead <= from.Time) {
                result.CopyFrom(from);
            } else {
                LocalPose to = _frames[1];
                result.Interpolate(from, to, (float)((_playhead - from.Time) / (to.Time - from.Time)));
            }
            return true;
        }

        /// <summary>Whether a body arrived within <see cref="NoSignalAfter"/> before <paramref name="now"/>.</summary>
        public bool IsReceiving(double now) => _count > 0 && now - _arrived < NoSignalAfter;

        private double Lag => Math.Min(_leastBefore, _least);

        private void StartWindow(double lag, double arrival) {
            _least = lag;
            _windowEnd = arrival + Window;
        }

        private void MovePlayhead(double now) {
            double target = now - Lag - Delay;
            if (_playing) {
                double step = Math.Max(0.0, now - _sampled);
                double even = _playhead + step;
                // Catch up or wait a little at a time, so that the dance does not jump.
                _playhead = Math.Max(_playhead, even + (target - even) * Math.Min(1.0, step / Ease));
            } else {
                _playhead = Math.Max(target, _frames[0].Time); // what is shown first is not taken back
            }
            _sampled = now;
            _playing = true;
        }

        private void Insert(LocalPose pose) {
            int at = _count;
            while (at > 0 && _frames[at - 1].Time >= pose.Time) {
                at--;
            }
            bool overtaken = at < _count;
            if (overtaken && (_frames[at].Time == pose.Time || (_playing && pose.Time <= _playhead))) {
                return; // a copy, or too late to be shown
            }
            if (_count == Capacity) {
                if (at == 0) return;
                Forget(1);
                at--;
            }
            LocalPose free = _frames[_count];
            Array.Copy(_frames, at, _frames, at + 1, _count - at);
            free.CopyFrom(pose);
            _frames[at] = free;
            _count++;
        }

        /// <summary>Drops the first <paramref name="number"/> bodies; their memory is used again.</summary>
        private void Forget(int number) {
            for (; number > 0; number--) {
                LocalPose free = _frames[0];
                Array.Copy(_frames, 1, _frames, 0, _count - 1);
                _count--;
                _frames[_count] = free;
            }
        }
    }
}
