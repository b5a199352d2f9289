using System.Numerics;
using NUnit.Framework;

namespace Dancerev {
    public sealed class WorldBodyTests {
        [Test]
        public void TheRestPoseStandsOnTheFloor() {
            WorldBody body = TPose();
            Assert.AreEqual(0.015, body.Positions[Skeleton.IndexOf("LeftToes")].Y, 1e-6);
            Assert.AreEqual(-0.67, body.Positions[Skeleton.IndexOf("LeftHand")].X, 1e-6);
        }

        [Test]
        public void AMirroredTPoseIsTheSameTPose() {
            WorldBody body = TPose();
            WorldBody mirrored = TPose();
            mirrored.Mirror();
            for (int bone = 0; bone < Skeleton.Count; bone++) {
                Assert.AreEqual(0.0, (body.Positions[bone] - mirrored.Positions[bone]).Length(), 1e-6);
            }
        }

        [Test]
        public void SmoothTravelReachesTheDancerAndLeavesTheHeight() {
            var smoother = new TravelSmoother();
            Assert.AreEqual(Vector3.One, smoother.Smooth(Vector3.One, 0.0));
            var jump = new Vector3(3f, 0.5f, 1f);
            Vector3 soon = smoother.Smooth(jump, 1.0 / 60.0);
            Assert.IsTrue(soon.X > 1f && soon.X < 1.5f);
            Assert.AreEqual(0.5, soon.Y, 1e-6);
            Assert.AreEqual(3.0, smoother.Smooth(jump, 1.0).X, 1e-3);
        }

        private static WorldBody TPose() {
            var pose = new LocalPose();
            Skeleton.RestOffsets.CopyTo(pose.Offsets, 0);
            var body = new WorldBody();
            body.Set(pose);
            return body;
        }
    }
}
