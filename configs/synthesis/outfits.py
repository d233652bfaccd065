# The whole wardrobe instead of base.py's shirt and trousers: each sequence draws an outfit, each garment in fabrics it
# is sewn from. All entries of a list are equally likely: a garment listed twice comes twice as often.
_base_ = ["base.py"]

outfit = dict(
    _delete_=True,
    type="RandomOutfit",
    tops=[
        dict(type="TShirt", material="jersey"),
        dict(type="TShirt", material="cotton"),
        dict(type="LongSleevedShirt", material="cotton"),
        dict(type="LongSleevedShirt", material="silk"),
        dict(type="TankTop", material="jersey"),
        dict(type="TankTop", material="cotton"),
        dict(type="Hoodie", material="jersey"),
        dict(type="OpenJacket", material="wool"),
        dict(type="OpenJacket", material="leather"),
    ],
    bottoms=[
        dict(type="Trousers", material="cotton"),
        dict(type="Trousers", material="denim"),
        dict(type="Trousers", material="wool"),
        dict(type="Shorts", material="cotton"),
        dict(type="Shorts", material="denim"),
        dict(type="CircleSkirt", material="cotton"),
        dict(type="CircleSkirt", material="silk"),
        dict(type="PencilSkirt", material="wool"),
    ],
    whole=[dict(type="Dress", material="cotton"), dict(type="Dress", material="silk")],
    share=0.1,  # of dresses
)
