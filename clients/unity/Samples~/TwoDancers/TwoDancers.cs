using Dancerev;
using UnityEngine;

/// <summary>
/// Lets avatars dance, the first on port 39539, the second on 39540. Put it on an empty object, drag the humanoid
/// avatars into the list, press Play, and start: dancerev-live --input demo --dancers 2
/// </summary>
public sealed class TwoDancers : MonoBehaviour {
    /// <summary>The humanoid avatars, in the order of the dancers.</summary>
    public Animator[] avatars;

    private void Awake() {
        gameObject.AddComponent<DancerevGroup>().Avatars = avatars;
    }
}
