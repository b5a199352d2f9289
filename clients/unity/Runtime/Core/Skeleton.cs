using System;
using System.Numerics;
using System.Text;

namespace Dancerev {
    /// <summary>
    /// The dancer's skeleton: 22 bones of the body and 30 of the fingers, with Unity's HumanBodyBones names, in a T-pose
    /// that faces +Z with flat hands (left-handed, Y up, metres; left is -X).
    /// </summary>
    internal static class Skeleton {
        /// <summary>Number of bones of the body; they come first.</summary>
        public const int BodyCount = 22;

        /// <summary>Number of bones, those of the fingers included.</summary>
        public const int Count = 52;

        /// <summary>Bone names; parents stand before their children, and the hips are first.</summary>
        public static readonly string[] Names = new string[Count];

        /// <summary>Index of each bone's parent, -1 for the hips.</summary>
        public static readonly int[] Parents = new int[Count];

        /// <summary>
        /// Metres from the parent's joint in the T-pose; for the hips, from the floor. A dancer of 1.70 m.
        /// </summary>
        public static readonly Vector3[] RestOffsets = new Vector3[Count];

        /// <summary>For each bone, the index of the bone on the other side (itself when central).</summary>
        public static readonly int[] Mirror = new int[Count];

        private static readonly byte[][] Ascii = new byte[Count][];
        private static int _filled;

        static Skeleton() {
            Add("Hips", null, 0f, 0.92f, 0f);
            Add("Spine", "Hips", 0f, 0.09f, -0.01f);
            Add("Chest", "Spine", 0f, 0.12f, 0f);
            Add("UpperChest", "Chest", 0f, 0.12f, 0f);
            Add("Neck", "UpperChest", 0f, 0.15f, -0.01f);
            Add("Head", "Neck", 0f, 0.09f, 0.02f);
            AddArm("Left", -1f);
            AddArm("Right", 1f);
            AddLeg("Left", -1f);
            AddLeg("Right", 1f);
            AddHand("Left", -1f);
            AddHand("Right", 1f);
            for (int bone = 0; bone < Count; bone++) {
                Ascii[bone] = Encoding.ASCII.GetBytes(Names[bone]);
                Mirror[bone] = IndexOf(OtherSide(Names[bone]));
            }
        }

        /// <summary>Index of the bone called <paramref name="name"/>, -1 if there is none.</summary>
        public static int IndexOf(string name) => Array.IndexOf(Names, name);

        /// <summary>Index of the bone that an argument of a message names, -1 if none.</summary>
        internal static int IndexOf(OscMessage message, int argument) {
            for (int bone = 0; bone < Count; bone++) {
                if (message.HasText(argument, Ascii[bone])) return bone;
            }
            return -1;
        }

        private static void AddArm(string side, float x) {
            Add(side + "Shoulder", "UpperChest", 0.03f * x, 0.11f, -0.01f);
            Add(side + "UpperArm", side + "Shoulder", 0.12f * x, 0f, 0f);
            Add(side + "LowerArm", side + "UpperArm", 0.27f * x, 0f, 0f);
            Add(side + "Hand", side + "LowerArm", 0.25f * x, 0f, 0f);
        }

        private static void AddLeg(string side, float x) {
            Add(side + "UpperLeg", "Hips", 0.09f * x, -0.03f, 0f);
            Add(side + "LowerLeg", side + "UpperLeg", 0f, -0.41f, 0f);
            Add(side + "Foot", side + "LowerLeg", 0f, -0.41f, -0.01f);
            Add(side + "Toes", side + "Foot", 0f, -0.055f, 0.13f);
        }

        private static void AddHand(string side, float x) {
            AddDigit(side, "Thumb", x, 0.025f, -0.012f, 0.024f, 0.032f, -0.008f, 0.026f, 0.026f, -0.003f, 0.016f);
            AddDigit(side, "Index", x, 0.088f, 0f, 0.026f, 0.038f, 0f, 0.003f, 0.023f, 0f, 0.001f);
            AddDigit(side, "Middle", x, 0.09f, 0.002f, 0.004f, 0.042f, 0f, 0f, 0.026f, 0f, 0f);
            AddDigit(side, "Ring", x, 0.085f, 0f, -0.017f, 0.038f, 0f, -0.002f, 0.024f, 0f, -0.001f);
            AddDigit(side, "Little", x, 0.077f, -0.003f, -0.035f, 0.03f, 0f, -0.004f, 0.018f, 0f, -0.002f);
        }

        /// <summary>Three bones, each with the place of its joint from the one before.</summary>
        private static void AddDigit(string side, string digit, float sign, params float[] places) {
            string parent = side + "Hand";
            for (int i = 0; i < 3; i++) {
                string name = side + digit + (i == 0 ? "Proximal" : i == 1 ? "Intermediate" : "Distal");
                Add(name, parent, sign * places[3 * i], places[3 * i + 1], places[3 * i + 2]);
                parent = name;
            }
        }

        private static void Add(string name, string parent, float x, float y, float z) {
            Names[_filled] = name;
            Parents[_filled] = parent == null ? -1 : IndexOf(parent);
            RestOffsets[_filled] = new Vector3(x, y, z);
            _filled++;
        }

        private static string OtherSide(string name) {
            return name.StartsWith("Left", StringComparison.Ordinal) ? "Right" + name.Substring(4)
                : name.StartsWith("Right", StringComparison.Ordinal) ? "Left" + name.Substring(5)
                : name;
        }
    }
}
