using System;
using System.Numerics;

namespace Dancerev {
    /// <summary>
    /// Evens out a dancer's way over the floor, as where a lost second makes it jump. The height is left alone, so that
    /// the feet stay on the floor.
    /// </summary>
    internal sealed class TravelSmoother {
        private const double TimeConstant = 0.1; // seconds in which two thirds of a jump are made good

        private bool _started;
        private double _then;
        private Vector3 _smooth;

        /// <summary>Begins anew at the next position.</summary>
        public void Reset() => _started = false;

        /// <summary>What to show at <paramref name="now"/> (seconds) for a position (metres).</summary>
        public Vector3 Smooth(Vector3 position, double now) {
            float share = _started ? (float)(1.0 - Math.Exp(-Math.Max(0.0, now - _then) / TimeConstant)) : 1f;
            _smooth = Vector3.Lerp(_smooth, position, share);
            _smooth.Y = position.Y;
            _then = now;
            _started = true;
            return _smooth;
        }
    }
}
