"""S2ST: image -> inversion -> seed translation -> trajectory optimisation -> sampling -> image of the source's size."""
