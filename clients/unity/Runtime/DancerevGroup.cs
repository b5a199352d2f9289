using UnityEngine;

namespace Dancerev {
    /// <summary>
    /// Several dancers at once: gives each avatar a receiver of its own, the first on the first port, the second on the
    /// next, as dancerev-live --dancers sends them.
    /// </summary>
    [AddComponentMenu("Dancerev/Dancerev Group")]
    public sealed class DancerevGroup : MonoBehaviour {
        [SerializeField, Tooltip("The humanoid avatars, in the order of the dancers.")]
        private Animator[] avatars = new Animator[0];

        [SerializeField, Tooltip("UDP port of the first dancer. The others follow.")]
        private int firstPort = 39539;

        /// <summary>The humanoid avatars, in the order of the dancers; to be set before the component starts.</summary>
        public Animator[] Avatars { get => avatars; set => avatars = value; }

        /// <summary>UDP port of the first dancer, 1 to 65535.</summary>
        public int FirstPort { get => firstPort; set => firstPort = value; }

        private void Start() {
            for (int i = 0; i < avatars.Length; i++) {
                if (avatars[i] == null) continue;
                var receiver = avatars[i].gameObject.AddComponent<DancerevReceiver>();
                receiver.Animator = avatars[i];
                receiver.Port = firstPort + i;
            }
        }
    }
}
